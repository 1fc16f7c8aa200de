"""``Subscriptions`` that are refused: an error is of a command, and does not name a channel."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support import denied
from gateway.redis_support.reader import ReplyError
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.redis_support.test_subscriptions import World

NOPERM = ReplyError("NOPERM No permissions to access a channel")


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(denied, "AGAIN_S", 0.0)
    return World()


async def add(world: World, *channels: bytes) -> list[asyncio.Future[None]]:
    added = [world.subscriptions.add(channel, channel.decode()) for channel in channels]
    assert await world.turn() == [("SUBSCRIBE", *channels)]
    return added


async def asked_again(world: World) -> list[object]:
    await eventually(lambda: world.connection.said, "another try")
    return list(await world.turn())


async def test_a_command_that_is_refused_is_said_again_for_each_of_its_channels(
    world: World,
) -> None:
    """Red when a refusal gives up the connection. It is said of the one that is refused alone."""
    a, b, c = await add(world, b"a", b"b", b"c")
    with capture_logs() as logged:
        world.hears(NOPERM)
        assert await world.turn() == [("SUBSCRIBE", b"a"), ("SUBSCRIBE", b"b"), ("SUBSCRIBE", b"c")]
        world.hears([b"subscribe", b"a", 1], NOPERM, [b"subscribe", b"c", 2])
        world.hears([b"message", b"a", b"hi"], [b"message", b"c", b"yo"])
        for _ in range(3):
            assert await asked_again(world) == [("SUBSCRIBE", b"b")]
            world.hears(NOPERM)

    assert [(e["event"], e["command"]) for e in logged] == [("redis refuses", "SUBSCRIBE b")]
    assert world.got == [("a", b"hi"), ("c", b"yo")]
    assert (a.done(), b.done(), c.done()) == (True, False, True)
    await asked_again(world)
    world.acknowledge(b"b")
    assert b.done()
    assert not world.connection.aborted
    assert world.resyncs == []


async def test_an_error_is_of_the_command_whose_turn_it_is(world: World) -> None:
    """Behind what has been acknowledged, and what is given back, and what settles."""
    [a] = await add(world, b"a")
    world.subscriptions.settle()
    b, c = world.subscriptions.add(b"b", "b"), world.subscriptions.add(b"c", "c")
    assert await world.turn() == [("SUBSCRIBE", b"b", b"c"), ("PING", b"settled")]
    world.subscriptions.remove(b"a")
    d = world.subscriptions.add(b"d", "d")
    assert await world.turn() == [("UNSUBSCRIBE", b"a"), ("SUBSCRIBE", b"d")]

    world.hears([b"subscribe", b"a", 1], [b"subscribe", b"b", 2], [b"subscribe", b"c", 3])
    world.hears([b"pong", b"settled"], [b"unsubscribe", b"a", 2], NOPERM)

    assert isinstance(a.exception(), BrokerUnavailable)
    assert (b.done(), c.done(), d.done()) == (True, True, False)
    assert await asked_again(world) == [("SUBSCRIBE", b"d")]


async def test_who_is_refused_holds_up_no_command_of_the_next_connection(world: World) -> None:
    """And a resync is of what is subscribed again; of the refused one, once that is allowed."""
    await add(world, b"a", b"b")
    world.hears([b"subscribe", b"a", 1], [b"subscribe", b"b", 2])
    assert await world.connect_anew() == [("SUBSCRIBE", b"a", b"b")]
    world.hears(NOPERM)
    await world.turn()
    world.hears([b"subscribe", b"a", 1], NOPERM)
    world.subscriptions._resync()
    assert world.resyncs == [["a"]]

    assert await world.connect_anew() == [("SUBSCRIBE", b"a"), ("SUBSCRIBE", b"b")]
    connection = world.connection
    subscribed = asyncio.create_task(
        world.subscriptions._all_acknowledged(connection)  # type: ignore[arg-type]
    )
    world.hears([b"subscribe", b"a", 1], NOPERM)
    await subscribed
    world.subscriptions._resync()
    assert world.resyncs == [["a"], ["a"]]
    await asked_again(world)
    world.acknowledge(b"b")
    await world.turn()
    assert world.resyncs == [["a"], ["a"], ["b"]]


async def test_the_first_connection_is_made_though_a_channel_is_refused(world: World) -> None:
    """Red when only acknowledgements are waited for: it was made again every five seconds."""
    await add(world, b"a", b"b")
    subscribed = asyncio.create_task(
        world.subscriptions._all_acknowledged(world.connection)  # type: ignore[arg-type]
    )
    world.hears(NOPERM)
    await world.turn()
    assert not subscribed.done()
    world.hears([b"subscribe", b"a", 1], NOPERM)

    async with asyncio.timeout(1.0):
        await subscribed


@pytest.mark.parametrize("answered", [True, False])
async def test_who_is_removed_while_it_is_refused_is_asked_for_no_more(
    answered: bool, world: World
) -> None:
    [a] = await add(world, b"a")
    if answered:
        world.hears(NOPERM)
        world.subscriptions.remove(b"a")
        assert await world.turn() == []
    else:
        world.subscriptions.remove(b"a")
        assert await world.turn() == [("UNSUBSCRIBE", b"a")]
        world.hears(NOPERM, [b"unsubscribe", b"a", 0])

    assert isinstance(a.exception(), BrokerUnavailable)
    assert b"a" not in world.subscriptions._denied
    assert not world.subscriptions._denied._timers
    assert world.subscriptions._outstanding.next() is None
    await add(world, b"a", b"b")


async def test_an_error_of_an_earlier_command_than_the_last_is_of_no_account(world: World) -> None:
    await add(world, b"a")
    world.subscriptions.remove(b"a")
    await world.turn()
    [again] = await add(world, b"a")

    world.hears(NOPERM, [b"unsubscribe", b"a", 0], [b"subscribe", b"a", 1])

    assert again.done()
    assert not world.subscriptions._denied._timers


async def test_what_settles_beside_a_refused_channel_is_done(world: World) -> None:
    await add(world, b"a")
    settled = world.subscriptions.settle()
    await world.turn()

    world.hears(NOPERM, [b"pong", b"settled"])

    assert settled.done()
    assert settled.exception() is None


async def test_a_ping_that_is_refused_fails_what_settles_and_no_channel(world: World) -> None:
    """Red when any error is one of a channel: whoever settled waited for as long as it stood."""
    settled = world.subscriptions.settle()
    a = world.subscriptions.add(b"a", "a")
    assert await world.turn() == [("SUBSCRIBE", b"a"), ("PING", b"settled")]
    later = world.subscriptions.settle()

    world.hears([b"subscribe", b"a", 1], ReplyError("NOPERM this user may not run 'ping'"))

    assert a.done()
    assert isinstance(settled.exception(), BrokerUnavailable)
    assert await world.turn() == [("PING", b"settled")]
    assert not later.done()


@pytest.mark.parametrize(
    "words", ["NOAUTH Authentication required.", "LOADING it is", "READONLY a replica"]
)
@pytest.mark.parametrize("channels", [[b"a"], [b"a", b"b"]])
async def test_what_is_of_all_channels_gives_up_the_connection(
    channels: list[bytes], words: str, world: World
) -> None:
    await add(world, *channels)

    world.hears(ReplyError(words))

    assert world.connection.aborted
    assert not world.subscriptions._denied._timers


async def test_no_timer_outlives_the_connection(world: World) -> None:
    await add(world, b"a")
    world.hears(NOPERM)

    world.subscriptions._forget(world.connection)  # type: ignore[arg-type]

    assert not world.subscriptions._denied._timers


async def test_once_one_is_allowed_the_others_are_asked_for_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may subscribe to nothing for a while has all of it back together, and told in one resync.
    Red when each waits for its own turn: up to half a minute, and a line in the log for each.
    """
    channels = [b"a", b"b", b"c"]
    await add(world, *channels)
    world.hears(*([b"subscribe", channel, 1] for channel in channels))
    await world.connect_anew()
    world.hears(NOPERM)
    await world.turn()
    monkeypatch.setattr(denied, "AGAIN_S", 60.0)
    monkeypatch.setattr(denied, "LONGEST_AGAIN_S", 60.0)
    world.hears(NOPERM, NOPERM, NOPERM)
    world.subscriptions.add(b"a", "a")
    assert await world.turn() == [("SUBSCRIBE", b"a")]

    world.acknowledge(b"a")
    assert await world.turn() == [("SUBSCRIBE", b"b"), ("SUBSCRIBE", b"c")]
    world.hears([b"subscribe", b"b", 2], [b"subscribe", b"c", 3])
    await world.turn()
    assert world.resyncs == [["a"], ["b", "c"]]
    assert not world.subscriptions._denied._timers
