"""The operator's settings: read once, checked at start, then immutable.

Each comes from the first of these that has it: the command line, a ``GATEWAY_…`` variable, the TOML
file, the default. docs/reference/configuration.md lists them all; a test compares.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.protocol.members import MAX_LEASE_S
from gateway.settings import credential_lists
from gateway.settings import values as value
from gateway.settings.values import Parser, Secret

PREFIX: Final = "GATEWAY_"
CONFIG_VARIABLE: Final = "GATEWAY_CONFIG"
_OTHER_VARIABLES: Final = (CONFIG_VARIABLE, "GATEWAY_RUN_FOLDER", "GATEWAY_WORKER_ID")


def _setting(default: Any, parser: Parser, allowed: str, meaning: str) -> Any:
    return field(
        default=default, metadata={"parser": parser, "allowed": allowed, "meaning": meaning}
    )


def _integer(default: int, low: int, high: int, unit: str, meaning: str) -> Any:
    allowed = f"{low} to {high} {unit}"
    return _setting(default, value.number(int, low, high, allowed), allowed, meaning)


def _seconds(default: float, low: float, high: float, meaning: str) -> Any:
    allowed = f"{low:g} to {high:g} seconds"
    return _setting(default, value.number(float, low, high, allowed), allowed, meaning)


def _limit(low: int, high: int, unit: str, meaning: str, default: int | None = None) -> Any:
    allowed = f"off, or {low} to {high} {unit}"
    return _setting(
        default, value.optional(value.number(int, low, high, allowed)), allowed, meaning
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting, checked."""

    app: str = _setting(
        "", value.text, "MODULE:ATTRIBUTE", "The application; the built-in echo when empty."
    )
    host: str = _setting("127.0.0.1", value.text, "an address", "Where to listen.")
    port: int = _integer(8000, 0, 65535, "(0: any free port)", "Where to listen.")
    workers: int = _integer(1, 1, 256, "processes", "Worker processes of this port.")
    role: str = _setting(
        "both",
        value.choice("both", "edge", "handler"),
        "both, edge, handler",
        "Hold sockets, run handlers, or both.",
    )
    reload: bool = _setting(
        False, value.switch, "on, off", "Start workers anew when code changes. For development."
    )
    redis_url: Secret = _setting(
        Secret(""),
        value.secret,
        "redis://, rediss:// or unix://",
        "The broker. Empty: `gateway serve` starts a private one.",
    )
    redis_password_file: str = _setting(
        "", value.text, "a path", "Holds the password for the broker, which its URL then lacks."
    )
    redis_prefix: str = _setting(
        "gw", value.prefix, "letters, digits, - and _", "Begins every key and channel."
    )
    redis_bin: str = _setting(
        "", value.text, "a path", "The server to embed; else the one on PATH, else the bundled one."
    )
    log_level: str = _setting(
        "info",
        value.choice("debug", "info", "warning", "error"),
        "debug, info, warning, error",
        "The least level that is logged.",
    )
    log_errors: str = _setting(
        "auto",
        value.choice("auto", "type", "full"),
        "auto, type, full",
        "Of an exception, log its type and where it was raised (type), or its message as well "
        "(full). auto is full at a terminal and with --reload, else type.",
    )
    trace: bool = _setting(
        False, value.switch, "on, off", "Offer the subprotocol gateway.trace.v1. It shows topology."
    )
    page: bool = _setting(
        True, value.switch, "on, off", "Serve the page to try the gateway with, at `/`."
    )
    message_bytes: int = _integer(
        65536, 1, 1_000_000, "bytes", "The longest message of a client. Past it: close 1009."
    )
    messages_per_second: int | None = _limit(
        1, 100_000, "messages/s", "Of one connection. Past it: close 3013."
    )
    frames_per_second: int | None = _limit(
        1,
        1_000_000,
        "frames/s",
        "Pings, pongs and fragments of one connection. Past it: close 3013.",
        default=1000,
    )
    max_connections: int = _integer(
        15000, 1, 1_000_000, "connections", "Of one worker. Past it: 503."
    )
    max_connections_per_address: int | None = _limit(
        1, 1_000_000, "connections", "Of one client address at one worker. Past it: 429."
    )
    handshakes_per_second: int | None = _limit(
        1, 100_000, "handshakes/s", "Of one worker. Past it: 429."
    )
    handshake_seconds: float = _seconds(
        10.0, 0.1, 300, "Until a request's head must be complete. Past it: closed."
    )
    outbox_bytes: int = _integer(
        1 << 20, 1024, 1 << 30, "bytes", "Waiting for one slow socket. Past it: abort, 3008."
    )
    stall_seconds: float = _seconds(
        10.0, 0.1, 300, "Without progress of a socket that has bytes waiting. Past it: abort, 3008."
    )
    handler_seconds: float = _seconds(
        30.0, 0.1, 3600, "For one handler, and for a message to find one. Past it: an error."
    )
    handler_concurrency: int = _integer(
        1000, 1, 100_000, "handlers", "At once in one worker. Past it: they wait."
    )
    lease_seconds: float = _seconds(
        10.0, 1, MAX_LEASE_S, "How long a silent worker is believed to live."
    )
    drain_seconds: float = _seconds(30.0, 0, 3600, "For a worker to leave on purpose.")
    allowed_origins: tuple[str, ...] = _setting(
        (),
        value.origins,
        "origins, or *",
        "Pages that may connect. Empty: those of the same host.",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (), value.hosts, "host names", "What a Host header may say. Empty: anything."
    )
    api_body_bytes: int = _integer(
        131_072,
        1,
        1_000_000,
        "bytes",
        "The longest body of a call to the connection API. Past it: 413.",
    )
    api_requests_per_second: int | None = _limit(
        1, 100_000, "requests/s", "Calls to the connection API of one worker. Past it: 429."
    )
    admin_bind: str = _setting(
        "", value.address, "HOST:PORT", "A port of its own for the connection API and /metrics."
    )
    trusted_proxies: tuple[str, ...] = _setting(
        (),
        value.networks,
        "addresses, networks, unix:, or *",
        "Proxies whose X-Forwarded-For and -Proto are believed. Empty: none.",
    )
    api_keys: Secret = _setting(
        Secret(""),
        value.secret_list(credential_lists.api_keys),
        "printable ASCII",
        "Keys of backends that call the connection API.",
    )
    api_keys_file: str = _setting(
        "", value.text, "a path", "More of them, one a line. Lines that begin with # are comments."
    )
    aws_access_keys: Secret = _setting(
        Secret(""),
        value.secret_list(credential_lists.access_keys),
        "ID:SECRET",
        "Access keys of backends that call the connection API with an AWS SDK.",
    )


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each of them came from."""

    settings: Settings
    sources: Mapping[str, str]


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def load(
    environment: Mapping[str, str],
    *,
    flags: Mapping[str, object] | None = None,
    file: Path | None = None,
) -> Loaded:
    """Read every setting from where it is set.

    Args:
        environment: Usually ``os.environ``.
        flags: Settings given on the command line, by name; None is not given.
        file: A TOML file; None takes the one that ``GATEWAY_CONFIG`` names, if any.

    Raises:
        ConfigError: Names the setting, its value and what would be right.
    """
    if file is None and environment.get(CONFIG_VARIABLE):
        file = Path(environment[CONFIG_VARIABLE])
    from_file = _read_file(file) if file is not None else {}
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for spec in fields(Settings):
        name, parse = spec.name, spec.metadata["parser"]
        if name in given:
            shown, raw, source = "--" + name.replace("_", "-"), given[name], "flag"
        elif variable(name) in environment:
            shown, raw, source = variable(name), environment[variable(name)], variable(name)
        elif name in from_file:
            shown, raw, source = name, from_file[name], str(file)
        else:
            sources[name] = "default"
            continue
        values[name] = parse(shown, raw)
        sources[name] = source
    _refuse_misspelt(environment)
    if password_file := values.get("redis_password_file"):
        name = variable("redis_password_file")
        password = credential_lists.password_of_file(name, password_file)
        url = values.get("redis_url", Secret("")).reveal()
        values["redis_url"] = Secret(credential_lists.with_password(name, url, password))
    return Loaded(Settings(**values), sources)


def _refuse_misspelt(environment: Mapping[str, str]) -> None:
    """A variable that is nearly ours would be ignored in silence.

    Only nearly: Kubernetes sets others of its own for a service that is called gateway.
    """
    ours = [variable(spec.name) for spec in fields(Settings)]
    for name in environment:
        if name.startswith(PREFIX) and name not in (*ours, *_OTHER_VARIABLES):
            close = difflib.get_close_matches(name, ours, n=1, cutoff=0.9)
            if close:
                raise ConfigError(f"there is no {name}; did you mean {close[0]}?")


def _read_file(file: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from None
    names = {spec.name for spec in fields(Settings)}
    for key in content:
        if key not in names:
            close = difflib.get_close_matches(key, names, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ConfigError(f"{file}: there is no setting {key}{hint}")
    return content


_chosen: Settings | None = None


def choose(settings: Settings) -> None:
    """Make these the settings of this process and of those it forks (``gateway serve``)."""
    global _chosen  # noqa: PLW0603 (once, before anything runs)
    _chosen = settings


def current() -> Settings:
    """The settings of this process: the chosen ones, else those of its environment."""
    return _chosen if _chosen is not None else load(os.environ).settings
