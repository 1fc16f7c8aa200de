"""The command ``gateway``: its commands, and how it ends."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Final

import typer
from typer.exceptions import TyperException

from gateway.cli import channels, config, lists, publish, sends, serve, token
from gateway.cli.printing import fail
from gateway.errors import BrokerUnavailable, ConfigError

app: Final = typer.Typer(
    name="gateway",
    help="A horizontally scaled, broker-backed WebSocket gateway.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(serve.serve)
app.command("config")(config.show_config)
app.command()(lists.workers)
app.command()(lists.connections)
app.command()(sends.send)
app.command()(sends.disconnect)
for command in (
    publish.publish,
    channels.channels,
    channels.history,
    channels.presence,
    channels.subscribe,
    channels.unsubscribe,
):
    app.command()(command)
app.command()(token.token)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """A horizontally scaled, broker-backed WebSocket gateway."""
    # Else every attempt to reach a Redis that is away is a line beside the one that says so. Where
    # logging is set up, as in workers, this changes nothing.
    logging.getLogger("gateway.redis_support").addHandler(logging.NullHandler())
    if version:
        from gateway.settings.version import __version__  # noqa: PLC0415

        print(f"gateway {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """The entry point: every expected failure is one line and an exit code."""
    if sys.platform == "win32":
        fail("gateway needs a POSIX system: on Windows use WSL or docker compose", 1)
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:  # no such option, no such command, too many arguments
        fail(f"{error.format_message().removesuffix('.')} (see {_command_of(error)} --help)", 2)
    except (typer.Abort, KeyboardInterrupt):
        sys.exit(130)
    except ConfigError as error:
        fail(str(error), 2)
    except BrokerUnavailable as error:
        fail(str(error), 1)


def _command_of(error: TyperException) -> str:
    """The command that it was typed to, as far as that is known."""
    context: typer.Context | None = getattr(error, "ctx", None)
    path = context.command_path if context is not None else ""
    return " ".join(["gateway", *path.split()[1:]])  # the first is how this was started
