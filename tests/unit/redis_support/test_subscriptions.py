"""``Subscriptions`` in what it says and hears, with a connection that does nothing by itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support import in_time, subscriptions
from gateway.redis_support.in_time import add_in_time
from gateway.redis_support.subscriptions import MAX_CHANNELS, Subscriptions
from gateway.redis_support.url import parse
from gateway.redis_support.writing import Command
from tests.support.logs import capture_logs
from tests.support.waiting import eventually


class Connection:
    """Keeps what it is told."""

    endpoint = ("here", 1)

    def __init__(self) -> None:
        self.said: list[Command] = []
        self.lost = asyncio.get_running_loop().create_future()
        self.aborted = False

    def send(self, command: Command) -> None:
        self.said.append(command)

    def raise_if_lost(self) -> None:
        """It is not."""

    def abort(self) -> None:
        self.aborted = True


class World:
    def __init__(self) -> None:
        self.got: list[tuple[str, bytes]] = []
        self.resyncs: list[list[str]] = []
        self.connection = Connection()
        self.subscriptions = self.made()
        self.subscriptions._connection = self.connection  # type: ignore[assignment]
        self.subscriptions._on_messages = self.got.extend
        self.subscriptions._on_resync = lambda names, _: self.resyncs.append(names)

    def made(self) -> Subscriptions:
        return Subscriptions(parse("redis://nowhere"), name="test")

    async def turn(self) -> list[Command]:
        """What is said at the end of a turn of the loop."""
        await asyncio.sleep(0)
        said, self.connection.said = self.connection.said, []
        return said

    async def connect_anew(self) -> list[Command]:
        """What is said to the next connection, once one is lost."""
        self.subscriptions._forget(self.connection)  # type: ignore[arg-type]
        self.connection = Connection()
        self.subscriptions._connection = self.connection  # type: ignore[assignment]
        self.subscriptions._changed.update(dict.fromkeys(self.subscriptions._wanted))
        self.subscriptions._flush()
        return await self.turn()

    def hears(self, *replies: Any) -> None:
        self.subscriptions._on_replies(list(replies))

    def acknowledge(self, channel: bytes) -> None:
        self.hears([b"subscribe", channel, 1])


@pytest.fixture
async def world() -> World:
    return World()


async def test_what_is_asked_for_in_one_turn_goes_out_in_one_command(world: World) -> None:
    for channel in (b"a", b"b", b"c"):
        world.subscriptions.add(channel, "")
    assert await world.turn() == [("SUBSCRIBE", b"a", b"b", b"c")]

    for channel in (b"a", b"b"):
        world.subscriptions.remove(channel)
    world.subscriptions.add(b"d", "")
    assert await world.turn() == [("UNSUBSCRIBE", b"a", b"b"), ("SUBSCRIBE", b"d")]


async def test_a_command_is_bounded(world: World) -> None:
    for n in range(MAX_CHANNELS + 1):
        world.subscriptions.add(b"%d" % n, "")

    assert [len(command) - 1 for command in await world.turn()] == [MAX_CHANNELS, 1]


async def test_only_the_last_acknowledgement_counts(world: World) -> None:
    first = world.subscriptions.add(b"a", "first")
    await world.turn()
    world.subscriptions.remove(b"a")
    await world.turn()
    second = world.subscriptions.add(b"a", "second")
    assert await world.turn() == [("SUBSCRIBE", b"a")]

    world.hears([b"subscribe", b"a", 1], [b"message", b"a", b"of the first"])
    assert isinstance(first.exception(), BrokerUnavailable)
    assert not second.done()
    world.hears([b"unsubscribe", b"a", 0])
    world.hears([b"subscribe", b"a", 1], [b"message", b"a", b"of the second"])
    assert second.done()
    assert world.got == [("second", b"of the second")]


async def test_an_acknowledgement_of_what_was_given_back_counts_for_nothing(world: World) -> None:
    world.subscriptions.add(b"a", "").add_done_callback(asyncio.Future.exception)
    await world.turn()
    world.subscriptions.remove(b"a")
    world.acknowledge(b"a")
    again = world.subscriptions.add(b"a", "a")

    assert await world.turn() == []
    await again
    world.hears([b"message", b"a", b"hi"])
    assert world.got == [("a", b"hi")]


async def test_who_comes_back_within_the_turn_keeps_the_subscription(world: World) -> None:
    world.subscriptions.add(b"a", "a")
    await world.turn()
    world.acknowledge(b"a")

    world.subscriptions.remove(b"a")
    assert world.subscriptions.add(b"a", "a").done()

    assert await world.turn() == []
    world.hears([b"message", b"a", b"hi"])
    assert world.got == [("a", b"hi")]


async def test_one_settle_is_under_way_and_the_others_share_the_next(world: World) -> None:
    one, two = world.subscriptions.settle(), world.subscriptions.settle()
    assert await world.turn() == [("PING", b"settled")]
    three, four = world.subscriptions.settle(), world.subscriptions.settle()
    assert await world.turn() == []

    world.hears([b"pong", b"settled"])
    assert (one.done(), two.done(), three.done()) == (True, True, False)
    assert await world.turn() == [("PING", b"settled")]
    world.hears(b"PONG", [b"pong", b""])
    assert not three.done()
    world.hears(b"settled")
    assert (three.done(), four.done()) == (True, True)


async def test_a_settle_goes_behind_the_subscriptions_of_its_turn(world: World) -> None:
    world.subscriptions.settle()
    world.subscriptions.add(b"a", "")

    assert await world.turn() == [("SUBSCRIBE", b"a"), ("PING", b"settled")]


async def test_a_loss_fails_what_settles_and_is_told_with_what_was_heard(world: World) -> None:
    heard, pending = world.subscriptions.add(b"a", "a"), world.subscriptions.add(b"b", "b")
    await world.turn()
    world.acknowledge(b"a")
    settled = [world.subscriptions.settle()]
    await world.turn()
    settled.append(world.subscriptions.settle())

    world.subscriptions._forget(world.connection)  # type: ignore[arg-type]
    settled.append(world.subscriptions.settle())
    await world.connect_anew()
    world.subscriptions._resync()
    assert world.resyncs == []
    world.acknowledge(b"a")
    world.subscriptions._resync()

    assert heard.done()
    assert not pending.done()
    assert all(isinstance(one.exception(), BrokerUnavailable) for one in settled)
    assert world.resyncs == [["a"]]


async def test_what_is_no_reply_is_counted(world: World) -> None:
    kinds: list[str] = []
    world.subscriptions._address.node.count = kinds.append

    world.hears(None, 5, [], [b"message"], [b"message", 1, 2], [b"subscribe", b"unknown", 1])

    assert kinds == ["garbage"] * 5
    assert world.got == []


async def test_what_is_not_acknowledged_in_time_is_removed_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_time, "REDIS_DEADLINE_S", 0.01)
    address = parse("redis://here:7")
    heard = add_in_time(world.subscriptions, b"a", "a", address)
    await world.turn()
    world.acknowledge(b"a")
    late = add_in_time(world.subscriptions, b"b", "b", address)
    await world.turn()

    with pytest.raises(BrokerUnavailable, match="redis://here:7/0 has not acknowledged"):
        await late
    assert await world.turn() == [("UNSUBSCRIBE", b"b")]
    assert heard.done()
    assert add_in_time(world.subscriptions, b"a", "a", address).done()


class Fleeting(Connection):
    """A connection that is lost as soon as it is made."""

    made = 0

    @classmethod
    async def connect(cls, *_: object, **__: object) -> Fleeting:
        cls.made += 1
        await asyncio.sleep(0)
        connection = cls()
        asyncio.get_running_loop().call_soon(connection.lost.set_result, None)
        return connection

    def push_mode(self) -> None:
        """Nothing comes."""

    async def execute(self, commands: list[Command]) -> list[None]:
        return [None for _ in commands]


class Pauses(list[int]):
    """Which attempts were paused after, and not for long."""

    def __call__(self, attempt: int) -> float:
        self.append(attempt)
        return 0.0


@pytest.mark.parametrize(
    ("stands_s", "paused", "warnings"),
    [(60.0, [1, 2, 3, 4], 1), (0.0, [], 4)],
    ids=["at once", "later"],
)
async def test_who_is_refused_at_once_waits_longer_and_longer(
    stands_s: float, paused: list[int], warnings: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a connection that was made is enough to begin anew, or to say its loss again: each
    worker that lacked a right to subscribe wrote 12 lines a second.
    """
    attempts = Pauses()
    monkeypatch.setattr(subscriptions, "RedisConnection", Fleeting)
    monkeypatch.setattr(subscriptions, "PING_INTERVAL_S", stands_s)
    monkeypatch.setattr(subscriptions, "reconnect_delay_s", attempts)
    made = Fleeting.made
    with capture_logs() as logged:
        running = asyncio.create_task(World().subscriptions.run(lambda _: None, lambda *_: None))
        await eventually(lambda: Fleeting.made >= made + 5, "five connections")
        running.cancel()
        await asyncio.wait({running})

    assert attempts[:4] == paused
    assert [e["log_level"] for e in logged[:4]].count("warning") == warnings
