"""``gateway channels``, ``history``, ``presence``, ``subscribe``, ``unsubscribe``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from gateway.cli.options import ConfigFile, Port, RedisUrl, broker_of
from gateway.cli.printing import end_with, fail, print_facts, print_rows
from gateway.errors import (
    BadChannel,
    ChannelLimit,
    NotAvailable,
    PresenceLimit,
    PublicationTooLarge,
    UnknownChannel,
)
from gateway.protocol.recovery import MAX_READ

if TYPE_CHECKING:
    from gateway.backend_client.blocking import Client

PAGE: Final = 1000

Channel = Annotated[str, typer.Argument(metavar="CHANNEL", show_default=False)]
ConnectionId = Annotated[str, typer.Argument(metavar="CONNECTION_ID", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def channels(
    pattern: Annotated[str, typer.Argument(help="As of a shell: 'room:*'.")] = "*",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = PAGE,
    as_json: AsJson = False,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """List the channels that have subscribers, with how many at all workers together."""
    rows: list[dict[str, Any]] = []
    unanswered: set[str] = set()
    after = ""
    with client_of(redis_url, config, port) as client:
        while True:
            page = client.channels(pattern, after=after, limit=min(PAGE, limit - len(rows)))
            rows += [
                {"channel": name, "subscribers": count} for name, count in page.channels.items()
            ]
            unanswered.update(page.unanswered)
            after = page.after
            if not after or len(rows) >= limit:
                break
    print_rows(rows, as_json=as_json)
    if after:
        print(f"gateway: there are more than {limit}: give --limit or a pattern", file=sys.stderr)
    for worker in sorted(unanswered):
        print(f"gateway: {worker} did not answer: what it holds is missing", file=sys.stderr)


def history(
    channel: Channel,
    limit: Annotated[int, typer.Option(help="At most so many.", min=0, max=MAX_READ)] = 50,
    reverse: Annotated[bool, typer.Option("--reverse", help="The newest first.")] = False,
    as_json: AsJson = False,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """Read what is kept of a channel."""
    with client_of(redis_url, config, port) as client:
        found = client.history(channel, limit=limit, reverse=reverse)
    print_rows(
        [
            {
                "offset": each.offset,
                "epoch": found.epoch,
                "user": each.user,
                "client": each.client,
                "tags": _shown(dict(each.tags) or None, as_json=as_json),
                "data": each.data if as_json else json.dumps(each.data, ensure_ascii=False),
            }
            for each in found.publications
        ],
        as_json=as_json,
    )


def presence(
    channel: Channel,
    stats: Annotated[bool, typer.Option("--stats", help="Only how many.")] = False,
    as_json: AsJson = False,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """List who is in a channel, where its namespace has presence."""
    with client_of(redis_url, config, port) as client:
        if stats:
            counted = client.presence_stats(channel)
            print_facts(counted._asdict(), as_json=as_json)
            return
        try:
            members = client.presence(channel)
        except PresenceLimit as error:
            fail(f"{error}; give --stats", 2)
    print_rows(
        [
            {
                "client": member.client,
                "user": member.user or None,
                "connection_info": _shown(member.connection_info, as_json=as_json),
                "channel_info": _shown(member.channel_info, as_json=as_json),
            }
            for _, member in sorted(members.items())
        ],
        as_json=as_json,
    )


def subscribe(
    connection: ConnectionId,
    channel: Channel,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """Subscribe a connection, and print the receipt; the exit code says it too."""
    with client_of(redis_url, config, port) as client:
        receipt = client.subscribe(connection, channel)
    end_with(receipt)


def unsubscribe(
    connection: ConnectionId,
    channel: Channel,
    port: Port = None,
    redis_url: RedisUrl = None,
    config: ConfigFile = None,
) -> None:
    """Unsubscribe a connection, and print the receipt; the exit code says it too."""
    with client_of(redis_url, config, port) as client:
        receipt = client.unsubscribe(connection, channel)
    end_with(receipt)


@contextmanager
def client_of(redis_url: str | None, file: Path | None, port: int | None) -> Iterator[Client]:
    """A client; what it refuses ends the command with one line."""
    from gateway.backend_client.client import client_at  # noqa: PLC0415
    from gateway.backend_client.variants import below_the_caller_of_this_process  # noqa: PLC0415

    url, prefix, lease_s = broker_of(redis_url, file, port)
    refused = (BadChannel, UnknownChannel, NotAvailable, ChannelLimit, PublicationTooLarge)
    with (
        client_at(url, prefix=prefix, lease_s=lease_s) as asking,
        below_the_caller_of_this_process(),
    ):
        try:
            yield asking
        except (*refused, ValueError) as error:
            fail(str(error), 2)


def _shown(said: Any, *, as_json: bool) -> Any:
    return said if as_json or said is None else json.dumps(said, ensure_ascii=False)
