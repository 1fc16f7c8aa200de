"""The command ``gateway``."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from typer.exceptions import TyperException

from gateway.errors import BrokerUnavailable, ConfigError, Disconnected, EnvelopeTooLarge
from gateway.settings.config import Settings
from gateway.settings.sources import Loaded, load

if TYPE_CHECKING:
    from gateway.backend_client import Client
    from gateway.protocol.receipt import Receipt

EXIT_CODES: Final = {"written": 0, "gone": 3, "slow": 4, "unreachable": 5}

app = typer.Typer(
    name="gateway",
    help="A horizontally scaled, broker-backed WebSocket gateway.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="A TOML file of settings. [env: GATEWAY_CONFIG]")
]

Port = Annotated[
    int | None,
    typer.Option(
        "--port", metavar="N", help="The gateway of this user that listens there.", min=1, max=65535
    ),
]


def _flag(kind: Any, name: str, metavar: str | None = None) -> Any:
    """An option for a setting: its help is the setting's, and parsing is left to ``config``."""
    spec = next(spec for spec in fields(Settings) if spec.name == name)
    meaning, allowed = spec.metadata["meaning"], spec.metadata["allowed"]
    flag = "--" + name.replace("_", "-")
    return Annotated[
        kind,
        typer.Option(
            flag,
            metavar=metavar,
            help=f"{meaning} [{allowed}; env: GATEWAY_{name.upper()}]",
            show_default=False,
        ),
    ]


@app.command()
def serve(
    application: Annotated[
        str | None,
        typer.Argument(
            metavar="MODULE:ATTRIBUTE",
            help="The application; without it, every line comes back. [env: GATEWAY_APP]",
            show_default=False,
        ),
    ] = None,
    host: _flag(str | None, "host") = None,  # type: ignore[valid-type]
    port: _flag(str | None, "port", "N") = None,  # type: ignore[valid-type]
    workers: _flag(str | None, "workers", "N") = None,  # type: ignore[valid-type]
    role: _flag(str | None, "role") = None,  # type: ignore[valid-type]
    redis_url: _flag(str | None, "redis_url") = None,  # type: ignore[valid-type]
    drain_seconds: _flag(str | None, "drain_seconds", "S") = None,  # type: ignore[valid-type]
    log_level: _flag(str | None, "log_level") = None,  # type: ignore[valid-type]
    reload: Annotated[
        bool | None, typer.Option("--reload", help="Start workers anew when code changes.")
    ] = None,
    config: ConfigFile = None,
) -> None:
    """Run workers on one port, under a supervisor, with a broker of their own if need be."""
    from gateway.process.serve import serve as serve_settings  # noqa: PLC0415 (keeps the others quick)

    flags = {
        "app": application,
        "host": host,
        "port": port,
        "workers": workers,
        "role": role,
        "redis_url": redis_url,
        "drain_seconds": drain_seconds,
        "log_level": log_level,
        "reload": reload,
    }
    serve_settings(_load(flags, config).settings)


@app.command("config")
def show_config(config: ConfigFile = None) -> None:
    """Print every effective setting and where it comes from, or what is wrong with one."""
    from gateway.process.serve import check  # noqa: PLC0415
    from gateway.worker.handshake_limits import remark  # noqa: PLC0415

    loaded = _load({}, config)
    check(loaded.settings)
    for spec in fields(Settings):
        value = getattr(loaded.settings, spec.name)
        print(f"{spec.name:<28} {_shown(value):<24} {loaded.sources[spec.name]}")
    if said := remark(loaded.settings):
        print(f"gateway: {said}", file=sys.stderr)


@app.command()
def workers(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    port: Port = None,
    redis_url: _flag(str | None, "redis_url") = None,  # type: ignore[valid-type]
    config: ConfigFile = None,
) -> None:
    """List the workers that live."""
    from gateway.cli import listing  # noqa: PLC0415

    rows = asyncio.run(listing.workers(*_registry(redis_url, config, port)))
    _print_rows(rows, as_json=as_json)


@app.command()
def connections(
    connection: Annotated[
        str | None,
        typer.Argument(
            metavar="CONNECTION_ID", help="Ask its owner about this one.", show_default=False
        ),
    ] = None,
    worker: Annotated[str | None, typer.Option(help="Only those of this worker.")] = None,
    user: Annotated[str | None, typer.Option(help="Only those of this user.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    port: Port = None,
    redis_url: _flag(str | None, "redis_url") = None,  # type: ignore[valid-type]
    config: ConfigFile = None,
) -> None:
    """List the connections of the registry, or say what there is to say of one."""
    from gateway.cli import listing  # noqa: PLC0415

    if connection is not None:
        if worker is not None or user is not None:
            _fail("one connection needs no --worker and no --user", 2)
        broker = _broker(redis_url, config, port)
        receipt, row = asyncio.run(listing.particulars(*broker, connection))
        if row is None:
            print(receipt.value)
            sys.exit(EXIT_CODES[receipt.value])
        _print_facts(row, as_json=as_json)
        return
    found = listing.connections(*_registry(redis_url, config, port), worker=worker, user=user)
    rows = asyncio.run(found)
    _print_rows(rows, as_json=as_json)


@app.command()
def send(
    connection: Annotated[str, typer.Argument(metavar="CONNECTION_ID", show_default=False)],
    text: Annotated[
        str, typer.Argument(help="What to send. - reads standard input.", show_default=False)
    ],
    key: Annotated[
        str | None, typer.Option(help="The same text with the same key is written once a minute.")
    ] = None,
    port: Port = None,
    redis_url: _flag(str | None, "redis_url") = None,  # type: ignore[valid-type]
    config: ConfigFile = None,
) -> None:
    """Send a text to one connection, and print the receipt; the exit code says it too."""
    try:
        words = sys.stdin.buffer.read().decode() if text == "-" else text
        words.encode()
    except UnicodeError:
        _fail("the text is not UTF-8", 2)
    _ask(redis_url, config, port, lambda client: client.send(connection, words, key=key))


@app.command()
def disconnect(
    connection: Annotated[str, typer.Argument(metavar="CONNECTION_ID", show_default=False)],
    code: Annotated[int, typer.Option(help="1000, or 3000 to 4999.")] = Disconnected.close_code,
    reason: Annotated[str, typer.Option(help="1 to 123 bytes.")] = Disconnected.reason,
    port: Port = None,
    redis_url: _flag(str | None, "redis_url") = None,  # type: ignore[valid-type]
    config: ConfigFile = None,
) -> None:
    """Close one connection, and print the receipt; the exit code says it too."""
    _ask(redis_url, config, port, lambda client: client.disconnect(connection, code, reason))


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A horizontally scaled, broker-backed WebSocket gateway."""
    if version:
        from gateway.settings.version import __version__  # noqa: PLC0415

        print(f"gateway {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """The entry point: every expected failure is one line and an exit code."""
    if sys.platform == "win32":
        _fail("gateway needs a POSIX system: on Windows use WSL or docker compose", 1)
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:  # no such option, no such command, too many arguments
        _fail(f"{error} (see gateway --help)", 2)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ConfigError as error:
        _fail(str(error), 2)
    except BrokerUnavailable as error:
        _fail(str(error), 1)


def _load(flags: dict[str, Any], file: Path | None) -> Loaded:
    return load(os.environ, flags=flags, file=file)


def _ask(
    redis_url: str | None,
    file: Path | None,
    port: int | None,
    question: Callable[[Client], Receipt],
) -> NoReturn:
    """Print the receipt, and exit with what it means."""
    from gateway.backend_client import client  # noqa: PLC0415

    url, prefix, lease_s = _broker(redis_url, file, port)
    with client(url, prefix=prefix, lease_s=lease_s) as asking:
        try:
            receipt = question(asking)
        except (EnvelopeTooLarge, ValueError) as error:
            _fail(str(error), 2)
    print(receipt.value)
    sys.exit(EXIT_CODES[receipt.value])


def _registry(redis_url: str | None, file: Path | None, port: int | None) -> tuple[str, str]:
    """Address and prefix of the registry."""
    url, prefix, _ = _broker(redis_url, file, port)
    return url, prefix


def _broker(redis_url: str | None, file: Path | None, port: int | None) -> tuple[str, str, float]:
    """Address, prefix and lease.

    Those of the gateway on this port; else of the settings' Redis, else of the one that runs.
    """
    from gateway.process.run_folder import the_running_gateway  # noqa: PLC0415

    if port is None:
        settings = _load({"redis_url": redis_url}, file).settings
        if settings.redis_url:
            return settings.redis_url.reveal(), settings.redis_prefix, settings.lease_seconds
    elif redis_url is not None:
        _fail("--port and --redis-url name two gateways: give one", 2)
    run = the_running_gateway(port=port, otherwise="set GATEWAY_REDIS_URL, or give --port")
    return run.redis_url, run.redis_prefix, run.lease_seconds


def _print_facts(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(row))
        return
    width = max(len(name) for name in row)
    for name, value in row.items():
        print(f"{name:<{width}}  {_shown(value)}")


def _print_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    if not rows:
        print("none")
        return
    names = list(rows[0])
    table = [names, *([_shown(row[name]) for name in names] for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(names))]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "-"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) or "-"


def _fail(message: str, code: int) -> NoReturn:
    print(f"gateway: {message}", file=sys.stderr)
    sys.exit(code)
