"""``gateway publish``, ``channels``, ``history``, ``presence``, ``subscribe``, ``unsubscribe``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from types import MappingProxyType

import pytest
from typer.testing import Result

from gateway.channels.presence_questions import MAX_MEMBERS
from gateway.presence.base import PresenceStats
from gateway.presence.redis import RedisPresenceStore
from gateway.protocol.channel_messages import ClientInfo
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.integration.conftest import MakeSettings
from tests.integration.test_channels import ROOM, last_connection
from tests.integration.test_command_send import run
from tests.support.ids import new_connection_id
from tests.support.inprocess import InProcess, cluster
from tests.support.rawclient import RawClient, raw_websocket

CHANNELS = Namespaces(ChannelOptions(presence=True), MappingProxyType({"room": ROOM}))


class Stand:
    """Two workers, a text socket at each, and the commands."""

    def __init__(
        self, settings: Settings, workers: list[InProcess], sockets: list[RawClient]
    ) -> None:
        self.workers = workers
        self.sockets = sockets
        self._settings = settings

    async def __call__(self, *arguments: str, stdin: bytes = b"") -> Result:
        return await run(self._settings, *arguments, stdin=stdin)

    def connection(self, number: int) -> str:
        return last_connection(self.workers[number])


@pytest.fixture
async def gateway(settings: MakeSettings) -> AsyncIterator[Stand]:
    own = settings(channel=CHANNELS)
    async with (
        cluster(own, 2) as workers,
        raw_websocket(workers[0].port) as ann,
        raw_websocket(workers[1].port) as bob,
    ):
        yield Stand(own, workers, [ann, bob])


async def test_a_connection_of_any_worker_is_subscribed_published_to_and_unsubscribed(
    gateway: Stand,
) -> None:
    for number in (0, 1):
        done = await gateway("subscribe", gateway.connection(number), "room:a b")
        assert (done.stdout, done.exit_code) == ("written\n", 0)
    done = await gateway("publish", "room:a b", '{"n": 1.50}', "--tag", "a=b=c", "--json")
    assert json.loads(done.stdout) | {"offset": 1, "suppressed": False} == json.loads(done.stdout)
    await gateway("publish", "room:a b", "-", "--text", stdin="grüße\n".encode())
    for socket in gateway.sockets:
        assert await socket.texts(2) == ['{"n": 1.50}', "grüße\n"]

    listed = await gateway("channels", "room:*", "--json")
    assert json.loads(listed.stdout) == {"channel": "room:a b", "subscribers": 2}
    told = await gateway("connections", gateway.connection(1), "--json")
    assert json.loads(told.stdout)["channels"] == ["room:a b"]

    done = await gateway("unsubscribe", gateway.connection(0), "room:a b")
    assert (done.stdout, done.exit_code) == ("written\n", 0)
    told = await gateway("connections", gateway.connection(0))
    assert told.stdout.splitlines()[-1].split() == ["channels", "-"]


async def test_several_channels_are_told_the_same_with_a_row_for_each(gateway: Stand) -> None:
    await gateway("subscribe", gateway.connection(0), "hall")
    done = await gateway("publish", "room:1", "none:1", "hall", '{"n":1}', "--key", "k", "--json")
    room, none, hall = (json.loads(line) for line in done.stdout.splitlines())

    assert await gateway.sockets[0].texts(1) == ['{"n":1}']
    assert (room["channel"], room["offset"], room["error"]) == ("room:1", 1, None)
    assert (none["offset"], none["error"]) == (None, "there is no namespace 'none'")
    assert (hall["offset"], hall["suppressed"], done.exit_code) == (0, False, 2)
    shown = await gateway("publish", "room:1", "hall", '{"n":1}', "--key", "k")
    assert shown.stdout.splitlines()[1].split()[-2:] == ["on", "-"]
    assert shown.exit_code == 0


async def test_lines_are_published_one_by_one_and_what_is_wrong_with_one_is_said(
    gateway: Stand,
) -> None:
    lines = [
        '{"channel": "room:1", "data": {"n": 1.50}, "tags": {"a": "b"}, "idempotency_key": "k"}',
        "",
        '{"channel": "room:1", "data": 2, "version": 0',
        '{"channel": "none:1", "data": 2}',
        '{"channel": "room:1", "data": 2, "key": "k"}',
        '{"channel": "room:1", "data": "grüße"}',
    ]
    stdin = "\n".join(lines).encode() + b"\n\xff"
    done = await gateway("publish", "--lines", stdin=stdin)
    rows = [json.loads(line) for line in done.stdout.splitlines()]

    assert done.exit_code == 2
    assert [(row["line"], row["channel"], row["offset"]) for row in rows] == [
        (1, "room:1", 1),
        (3, None, None),
        (4, "none:1", None),
        (5, None, None),
        (6, "room:1", 2),
        (7, None, None),
    ]
    errors = [row["error"] for row in rows]
    assert errors[0] is errors[4] is None
    assert "truncated" in errors[1]
    assert errors[2] == "there is no namespace 'none'"
    assert "unknown field `key`" in errors[3]
    assert errors[5] == "the line is not UTF-8"
    kept = (await gateway.workers[0].gateway.history("room:1")).publications
    assert [(each.data, each.tags) for each in kept] == [({"n": 1.5}, {"a": "b"}), ("grüße", {})]
    assert (await gateway("publish", "--lines", stdin=lines[0].encode())).exit_code == 0


async def test_history_for_people_and_for_scripts(gateway: Stand) -> None:
    for n in (1, 2, 3):
        await gateway.workers[0].gateway.publish("room:1", {"n": n}, tags={"a": "b"})

    newest = await gateway("history", "room:1", "--limit", "2", "--reverse", "--json")
    rows = [json.loads(line) for line in newest.stdout.splitlines()]
    assert [(row["offset"], row["data"], row["tags"]) for row in rows] == [
        (3, {"n": 3}, {"a": "b"}),
        (2, {"n": 2}, {"a": "b"}),
    ]
    shown = await gateway("history", "room:1", "--limit", "1")
    assert shown.stdout.splitlines()[1].split()[-2:] == ['{"n":', "1}"]
    assert (await gateway("history", "room:none")).stdout == "none\n"


async def test_who_is_there_and_how_many(gateway: Stand) -> None:
    worker = gateway.workers[0].worker
    info = ClientInfo("ann", f"{worker.me}.a", b'{"n":1}')
    await worker.parts.presence.enter("hall", info)

    members = await gateway("presence", "hall", "--json")
    assert json.loads(members.stdout) == {
        "client": info.client,
        "user": "ann",
        "connection_info": {"n": 1},
        "channel_info": None,
    }
    stats = await gateway("presence", "hall", "--stats")
    assert stats.stdout.split() == ["clients", "1", "users", "1"]


async def test_a_crowd_is_counted_and_not_listed(
    gateway: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stats(store: RedisPresenceStore, channel: str) -> PresenceStats:
        return PresenceStats(MAX_MEMBERS + 1, 2)

    monkeypatch.setattr(RedisPresenceStore, "stats", stats)
    done = await gateway("presence", "hall")

    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == (
        "gateway: more than 10000 clients are in channel hall, and no more are told at once: "
        "ask for presence_stats, which counts them; give --stats\n"
    )


async def test_more_channels_than_wanted_are_said(gateway: Stand) -> None:
    for channel in ("a", "b", "c"):
        await gateway("subscribe", gateway.connection(0), channel)

    done = await gateway("channels", "--limit", "2")

    assert [line.split()[0] for line in done.stdout.splitlines()] == ["channel", "a", "b"]
    assert done.stderr == "gateway: there are more than 2: give --limit or a pattern\n"


WRONG = [
    (("publish", "room:1", "hello"), "the data is no JSON value"),
    (("publish", "room:1", "1", "--tag", "a"), "--tag a is not NAME=VALUE"),
    (("publish", "room:1"), "give a channel, or several, and the data (or --lines)"),
    (("publish", "room:1", "--lines"), "--lines has all that is published"),
    (("publish", "room:1", "hall", "hello"), "the data is no JSON value"),
    (("publish", *["room:1"] * 1001, "1"), "1001 at once are over the limit of 1000"),
    (("publish", "none:1", "1"), "there is no namespace 'none'"),
    (("publish", "", "1"), "a channel's name is 1 to 255 bytes, not 0"),
    (("publish", "room:1", "1" * 70_000), "a publication of 70000 B is over the limit"),
    (("publish", "room:1", "1", "--key", "k" * 256), "idempotency_key has 256 bytes"),
    (("publish", "room:1", "1", "--key", ""), "idempotency_key is empty"),
    (("publish", "room:1", "hall", "1", "--key", ""), "idempotency_key is empty"),
    (("send", "nobody", "text", "--key", ""), "key is empty"),
    (("history", "hall"), "channel hall keeps no history"),
    (("presence", "room:1"), "channel room:1 keeps no presence"),
    (("channels", "x" * 256), "the pattern has 256 characters"),
    (("subscribe", "nobody", ""), "a channel's name is 1 to 255 bytes, not 0"),
]


async def test_what_is_wrong_is_one_line_and_ends_with_2(gateway: Stand) -> None:
    for arguments, message in WRONG:
        done = await gateway(*arguments)
        assert done.exit_code == 2, arguments
        assert done.stdout == ""
        assert done.stderr.startswith(f"gateway: {message}"), done.stderr
        assert done.stderr.count("\n") == 1
    assert await asyncio.gather(*(w.gateway.history("room:1") for w in gateway.workers))
    assert sum(w.worker.parts.counters.publications for w in gateway.workers) == 0


async def test_who_is_gone_ends_with_3(gateway: Stand) -> None:
    nobody = new_connection_id(gateway.workers[0].worker.me)

    for command in ("subscribe", "unsubscribe"):
        done = await gateway(command, nobody, "room:1")
        assert (done.stdout, done.exit_code) == ("gone\n", 3)
