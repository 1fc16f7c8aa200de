"""``gateway send`` and ``gateway disconnect``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from gateway.cli.options import ConfigFile, Port, RedisUrl, broker_of
from gateway.cli.printing import end_with, fail
from gateway.errors import Disconnected, EnvelopeTooLarge

if TYPE_CHECKING:
    from gateway.backend_client.blocking import Client
    from gateway.protocol.receipt import Receipt


def send(
    connection: Annotated[str, typer.Argument(metavar="CONNECTION_ID", show_default=False)],
    text: Annotated[
        str, typer.Argument(help="What to send. - reads standard input.", show_default=False)
    ],
    key: Annotated[
        str | None, typer.Option(help="The same text with the same key is written once a minute.")
    ] = None,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """Send a text to one connection, and print the receipt; the exit code says it too."""
    try:
        words = sys.stdin.buffer.read().decode() if text == "-" else text
        words.encode()
    except UnicodeError:
        fail("the text is not UTF-8", 2)
    _ask(redis_url, config, port, lambda client: client.send(connection, words, key=key))


def disconnect(
    connection: Annotated[str, typer.Argument(metavar="CONNECTION_ID", show_default=False)],
    code: Annotated[int, typer.Option(help="1000, or 3000 to 4999.")] = Disconnected.close_code,
    reason: Annotated[str, typer.Option(help="1 to 123 bytes.")] = Disconnected.reason,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """Close one connection, and print the receipt; the exit code says it too."""
    _ask(redis_url, config, port, lambda client: client.disconnect(connection, code, reason))


def _ask(
    redis_url: str | None,
    file: Path | None,
    port: int | None,
    question: Callable[[Client], Receipt],
) -> NoReturn:
    """Print the receipt, and exit with what it means."""
    from gateway.backend_client.client import client_at  # noqa: PLC0415
    from gateway.backend_client.variants import below_the_caller_of_this_process  # noqa: PLC0415

    url, prefix, lease_s = broker_of(redis_url, file, port)
    with (
        client_at(url, prefix=prefix, lease_s=lease_s) as asking,
        below_the_caller_of_this_process(),
    ):
        try:
            receipt = question(asking)
        except (EnvelopeTooLarge, ValueError) as error:
            fail(str(error), 2)
    end_with(receipt)
