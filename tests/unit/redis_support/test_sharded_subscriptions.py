"""``ShardedSubscriptions``: what becomes of one channel is of no concern to another."""

from __future__ import annotations

import asyncio

import pytest

from gateway.redis_support import denied, sharded_subscriptions
from gateway.redis_support.denied import AGAIN_S, LONGEST_AGAIN_S
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.sharded_subscriptions import ShardedSubscriptions
from gateway.redis_support.slots import slot_of
from gateway.redis_support.url import parse
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.redis_support.test_subscriptions import Connection, World


class Sharded(World):
    """One connection to a master, and what the map is told."""

    subscriptions: ShardedSubscriptions

    def made(self) -> ShardedSubscriptions:
        address = parse("redis+cluster://nowhere").at(("here", 1))
        self.told: list[str] = []
        address.node.redirected = lambda words, asked: self.told.append(f"{words} by {asked}")
        return ShardedSubscriptions(address, name="test")

    async def subscribe(self, *channels: bytes) -> None:
        for channel in channels:
            self.subscriptions.add(channel, channel.decode())
        await self.turn()
        for channel in channels:
            self.hears([b"ssubscribe", channel, 1])


@pytest.fixture
async def sharded() -> Sharded:
    return Sharded()


async def test_each_channel_is_subscribed_by_itself(sharded: Sharded) -> None:
    """Those of several slots in one command are refused."""
    for channel in (b"a", b"b"):
        sharded.subscriptions.add(channel, "")

    assert await sharded.turn() == [("SSUBSCRIBE", b"a"), ("SSUBSCRIBE", b"b")]


async def test_a_channel_that_is_taken_away_is_asked_for_again_and_in_a_resync(
    sharded: Sharded,
) -> None:
    """Nobody else is. Red when a move makes the connection anew."""
    await sharded.subscribe(b"a", b"b")
    sharded.hears([b"sunsubscribe", b"a", 1])

    assert await sharded.turn() == [("SSUBSCRIBE", b"a")]
    sharded.hears([b"ssubscribe", b"a", 2], [b"smessage", b"a", b"hi"], [b"smessage", b"b", b"yo"])
    await sharded.turn()

    assert sharded.resyncs == [["a"]]
    assert sharded.got == [("a", b"hi"), ("b", b"yo")]
    assert not sharded.connection.aborted


async def test_a_channel_that_has_moved_is_said_to_the_map_and_asked_for_again(
    sharded: Sharded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denied, "AGAIN_S", 0.0)
    await sharded.subscribe(b"b")
    subscribed = sharded.subscriptions.add(b"a", "a")
    await sharded.turn()

    words = f"MOVED {slot_of(b'a')} there:2"
    sharded.hears(ReplyError(words))

    assert sharded.told == [f"{words} by ('here', 1)"]
    assert not subscribed.done()
    await eventually(lambda: sharded.connection.said == [("SSUBSCRIBE", b"a")], "another try")
    sharded.hears([b"ssubscribe", b"a", 1])
    assert subscribed.done()
    assert sharded.resyncs == []  # it never was subscribed
    assert not sharded.connection.aborted


async def test_a_channel_that_nobody_takes_is_said(
    sharded: Sharded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(denied, "AGAIN_S", 0.0)
    monkeypatch.setattr(sharded_subscriptions, "IN_VAIN", 3)
    sharded.subscriptions.add(b"a", "room")

    async def refuse(times: int) -> list[tuple[str, str]]:
        with capture_logs() as logged:
            for _ in range(times):
                await eventually(lambda: sharded.connection.said, "another try")
                sharded.connection.said.clear()
                sharded.hears(ReplyError("CLUSTERDOWN Hash slot not served"))
        return [(e["event"], e["command"]) for e in logged]

    assert await refuse(2) == []
    await eventually(lambda: sharded.connection.said, "another try")
    sharded.connection.said.clear()
    sharded.hears([b"ssubscribe", b"a", 1])
    sharded.hears([b"sunsubscribe", b"a", 0])  # its slot moves
    assert await refuse(2) == []
    assert await refuse(1) == [("no redis master takes it", "SSUBSCRIBE room")]


async def test_what_is_given_back_is_no_loss(sharded: Sharded) -> None:
    await sharded.subscribe(b"a")
    sharded.subscriptions.remove(b"a")
    assert await sharded.turn() == [("SUNSUBSCRIBE", b"a")]
    sharded.hears([b"sunsubscribe", b"a", 0])
    sharded.subscriptions.add(b"a", "a")
    assert await sharded.turn() == [("SSUBSCRIBE", b"a")]
    sharded.hears([b"ssubscribe", b"a", 1])

    await sharded.turn()
    assert sharded.resyncs == []


async def test_a_channel_is_taken_away_between_its_remove_and_its_add(sharded: Sharded) -> None:
    """In one turn, so nothing was said of either. Red when it counts as subscribed still: it was
    deaf from then on.
    """
    await sharded.subscribe(b"a")
    sharded.subscriptions.remove(b"a")
    sharded.hears([b"sunsubscribe", b"a", 0])
    again = sharded.subscriptions.add(b"a", "a")

    assert not again.done()
    assert await sharded.turn() == [("SSUBSCRIBE", b"a")]
    sharded.hears([b"ssubscribe", b"a", 1])
    assert again.done()


@pytest.mark.parametrize("others", [[], [b"c"], [b"c", b"d"]])
async def test_a_channel_is_taken_away_while_it_is_given_back_and_wanted_again(
    others: list[bytes], sharded: Sharded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes it away looks like the answer to the first command, whose own is a MOVED, as is
    the second's: one too many for those that wait. Red when each is that of the next in turn: then
    others wait for another try, or the connection is given up.
    """
    monkeypatch.setattr(denied, "AGAIN_S", 0.0)
    await sharded.subscribe(b"a", b"b")
    sharded.subscriptions.remove(b"a")
    await sharded.turn()
    again = sharded.subscriptions.add(b"a", "a")
    waiting = [sharded.subscriptions.add(other, other.decode()) for other in others]
    await sharded.turn()
    moved = ReplyError(f"MOVED {slot_of(b'a')} there:2")

    sharded.hears([b"sunsubscribe", b"a", 1], moved, moved)
    for other in others:
        sharded.hears([b"ssubscribe", other, 2])

    assert all(one.done() for one in waiting)
    assert not again.done()
    assert not sharded.connection.aborted
    await eventually(lambda: sharded.connection.said == [("SSUBSCRIBE", b"a")], "another try")
    sharded.hears([b"ssubscribe", b"a", 1], [b"smessage", b"a", b"hi"])
    assert again.done()
    assert sharded.got == [("a", b"hi")]
    assert sharded.resyncs == []


async def test_a_channel_is_taken_away_while_it_is_given_back(sharded: Sharded) -> None:
    """The others are left alone. Red when an answer too many gives up the connection."""
    await sharded.subscribe(b"a")
    sharded.subscriptions.remove(b"a")
    await sharded.turn()
    waiting = sharded.subscriptions.add(b"b", "b")

    sharded.hears([b"sunsubscribe", b"a", 1], ReplyError(f"MOVED {slot_of(b'a')} there:2"))
    await sharded.turn()
    sharded.hears([b"ssubscribe", b"b", 1])

    assert waiting.done()
    assert not sharded.connection.aborted


async def test_a_channel_that_is_denied_leaves_the_others_alone(
    sharded: Sharded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is asked for again: an operator may allow it. Red when it gives up the connection."""
    monkeypatch.setattr(denied, "AGAIN_S", 0.001)
    await sharded.subscribe(b"b")
    refused = sharded.subscriptions.add(b"a", "room")
    await sharded.turn()

    with capture_logs() as logged:
        for _ in range(3):
            sharded.hears(ReplyError("NOPERM No permissions to access a channel"))
            assert await sharded.turn() == []
            await eventually(lambda: sharded.connection.said == [("SSUBSCRIBE", b"a")], "a try")
            sharded.connection.said.clear()

    assert [(e["event"], e["command"]) for e in logged] == [("redis refuses", "SSUBSCRIBE room")]
    assert not sharded.connection.aborted
    assert not refused.done()
    sharded.hears([b"smessage", b"b", b"hi"], [b"ssubscribe", b"a", 2], [b"smessage", b"a", b"yo"])
    assert refused.done()
    assert sharded.got == [("b", b"hi"), ("room", b"yo")]
    assert sharded.resyncs == []


async def test_a_channel_that_is_denied_is_asked_for_less_and_less_often(
    sharded: Sharded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever else wants it meanwhile begins no row of questions beside that one."""
    pauses: list[float] = []

    def call_later(after_s: float, _call: object, *_: object) -> asyncio.TimerHandle:
        pauses.append(after_s)
        return never

    loop = asyncio.get_running_loop()
    never = loop.call_later(60.0, lambda: None)
    monkeypatch.setattr(loop, "call_later", call_later)
    for _ in range(12):
        sharded.subscriptions.add(b"a", "a")
        assert await sharded.turn() == [("SSUBSCRIBE", b"a")]
        sharded.hears(ReplyError("NOPERM no"))

    assert len(pauses) == 12
    for number, pause_s in enumerate(pauses):
        longest_s = min(LONGEST_AGAIN_S, AGAIN_S * 2**number)
        assert longest_s / 2 <= pause_s <= longest_s
    assert len(sharded.subscriptions._denied._timers) == 1
    sharded.subscriptions.remove(b"a")
    assert not sharded.subscriptions._denied._timers
    assert b"a" not in sharded.subscriptions._denied


@pytest.mark.parametrize("words", ["NOAUTH Authentication required.", "LOADING it is"])
async def test_what_is_of_all_channels_gives_up_the_connection(
    words: str, sharded: Sharded
) -> None:
    sharded.subscriptions.add(b"a", "a")
    await sharded.turn()

    sharded.hears(ReplyError(words))

    assert sharded.connection.aborted


async def test_a_channel_is_handed_over_with_who_waits_and_what_it_may_have_missed(
    sharded: Sharded,
) -> None:
    await sharded.subscribe(b"a")
    waiting = sharded.subscriptions.add(b"b", "b")
    other = Sharded()

    for channel in (b"a", b"b"):
        handed = sharded.subscriptions.hand_over(channel)
        assert handed is not None
        other.subscriptions.take(channel, handed)
    assert sharded.subscriptions.hand_over(b"a") is None
    assert await sharded.turn() == [("SUNSUBSCRIBE", b"a")]
    assert await other.turn() == [("SSUBSCRIBE", b"a"), ("SSUBSCRIBE", b"b")]
    other.hears([b"ssubscribe", b"a", 1], [b"ssubscribe", b"b", 2])
    await other.turn()

    assert waiting.done()
    assert other.resyncs == [["a"]]


async def test_a_master_that_is_lost_is_a_resync_of_its_channels(sharded: Sharded) -> None:
    await sharded.subscribe(b"a", b"b")
    sharded.subscriptions._forget(sharded.connection)  # type: ignore[arg-type]
    sharded.connection = Connection()
    sharded.subscriptions._connection = sharded.connection  # type: ignore[assignment]
    for channel in (b"a", b"b"):
        sharded.subscriptions._change(channel)
    await sharded.turn()

    sharded.hears([b"ssubscribe", b"a", 1], [b"ssubscribe", b"b", 1])
    await sharded.turn()

    assert sharded.resyncs == [["a", "b"]]


async def test_a_channel_that_is_given_away_and_back_before_that_is_said_is_heard(
    sharded: Sharded,
) -> None:
    """Red when it waits for an acknowledgement: nothing is said, and nobody would hear of it."""
    await sharded.subscribe(b"a")
    handed = sharded.subscriptions.hand_over(b"a")
    assert handed is not None
    waits = asyncio.get_running_loop().create_future()
    handed.waiting.append(waits)

    sharded.subscriptions.take(b"a", handed)

    assert await sharded.turn() == []
    assert waits.done()
    sharded.hears([b"smessage", b"a", b"hi"])
    await sharded.turn()
    assert sharded.got == [("a", b"hi")]
    assert sharded.resyncs == [["a"]]
