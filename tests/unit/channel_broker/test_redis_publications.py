"""``Publications`` where Redis has lost its scripts: a connection answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
import pytest

from gateway.channel_broker import redis_publications
from gateway.channel_broker.base import HistoryOptions, Publishing, Stored
from gateway.channel_broker.redis_publications import MAX_TOGETHER, Item, Publications, Tell
from gateway.channel_broker.redis_scripts import ChannelScripts
from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.metrics.families import PUBLICATION_FAILURES
from gateway.protocol.channel_position import Position
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.url import parse
from gateway.redis_support.writing import LONG_BYTES, Command

KEPT = HistoryOptions(10, 60, 60)
LOST = ReplyError("NOSCRIPT No matching script. Please use EVAL.")


class Connection:
    endpoint = None

    def __init__(self) -> None:
        self.sent: list[tuple[Sequence[Command], asyncio.Future[list[Any]]]] = []

    def execute(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self.sent.append((commands, answer))
        return answer


class World:
    def __init__(self, elsewhere: Callable[[list[Item]], None] | None = None) -> None:
        address = self.address = parse("redis://nowhere")
        self.connection: Connection | None = Connection()
        scripts = ChannelScripts("p", address.node)
        self.failed: list[str] = []
        self.publications = Publications(
            address,
            scripts,
            lambda: self.connection,  # type: ignore[arg-type, return-value]
            failed=self.failed.append,
            elsewhere=elsewhere,
        )

    def publish(self, body: bytes, name: str = "a") -> asyncio.Future[Stored]:
        """With a command of its own."""
        return self.publications.publish(Publishing(name, body, KEPT, idempotency_key="k"))

    def plain(self, body: bytes, name: str = "a") -> asyncio.Future[Stored]:
        """With those right before it."""
        return self.publications.publish(Publishing(name, body, KEPT))

    async def sent(self) -> list[Any]:
        """The bodies of the pipeline that has just gone out; LOAD for the script."""
        return [one for command in await self.commands() for one in command]

    async def commands(self) -> list[list[bytes | str | int]]:
        """The same, command by command."""
        await asyncio.sleep(0)
        assert self.connection is not None
        commands, _ = self.connection.sent[-1]
        return [_bodies(command) for command in commands]

    async def answer(self, *replies: Any) -> None:
        assert self.connection is not None
        self.connection.sent[-1][1].set_result(list(replies))
        await asyncio.sleep(0)

    async def lose(self) -> None:
        assert self.connection is not None
        self.connection.sent[-1][1].set_exception(BrokerUnavailable("lost"))
        await asyncio.sleep(0)


def _bodies(command: Command) -> list[Any]:
    match command:
        case ("EVALSHA", _, int() as count, *rest):
            return rest[count + 9 :]
        case ("PUBLISH", _, message):
            return [message]
    return [command[1]]


def at(offset: int) -> list[Any]:
    return [b"epoch", offset, 0, 0]


def stored(offset: int) -> Stored:
    return Stored(Position("epoch", offset))


@pytest.fixture
async def world() -> World:
    return World()


async def test_what_has_no_script_is_sent_once_more_before_what_waits(world: World) -> None:
    one, two = world.publish(b"1"), world.publish(b"2")
    assert await world.sent() == [b"1", b"2"]
    three = world.publish(b"3")

    await world.answer(LOST, LOST)
    assert await world.sent() == ["LOAD", b"1", b"2", b"3"]
    await world.answer(b"sha", at(1), at(2), at(3))

    assert [await one, await two, await three] == [stored(1), stored(2), stored(3)]


async def test_what_a_later_one_has_overtaken_is_not_sent_again(world: World) -> None:
    """Another worker loaded the script in between: order counts more."""
    asked = [world.publish(b"%d" % n) for n in range(4)] + [world.publish(b"b", "b")]
    await world.sent()

    await world.answer(LOST, at(1), LOST, LOST, LOST)
    assert await world.sent() == ["LOAD", b"2", b"3", b"b"]
    await world.answer(b"sha", at(2), at(3), at(1))

    with pytest.raises(BrokerUnavailable, match="not published"):
        await asked[0]
    assert [await answer for answer in asked[1:]] == [stored(1), stored(2), stored(3), stored(1)]


async def test_a_join_behind_it_keeps_nothing_from_being_sent_again(world: World) -> None:
    one = world.publish(b"1")
    world.publications.tell(Tell("a", b"join"))
    assert await world.sent() == [b"1", b"join"]

    await world.answer(LOST, 0)
    assert await world.sent() == ["LOAD", b"1"]
    await world.answer(b"sha", at(1))

    assert await one == stored(1)


async def test_a_server_that_never_has_the_script_is_not_asked_for_ever(world: World) -> None:
    one = world.publish(b"1")
    await world.sent()
    await world.answer(LOST)
    await world.sent()
    await world.answer(ReplyError("NOPERM no"), LOST)

    with pytest.raises(BrokerRefused):
        await one


async def test_a_loss_fails_what_was_sent_and_what_waits(world: World) -> None:
    one = world.publish(b"1")
    await world.sent()
    two = world.publish(b"2")

    await world.lose()

    assert "nobody knows" in str(one.exception())
    assert "not published" in str(two.exception())
    assert world.publications._waiting_bytes == 0
    three = world.publish(b"3")
    assert await world.sent() == [b"3"]
    await world.answer(at(1))
    assert await three == stored(1)


async def test_without_a_connection_it_fails_at_once(world: World) -> None:
    in_this_turn = world.publish(b"0")
    world.connection = None
    assert isinstance(world.publish(b"1").exception(), BrokerUnavailable)
    await asyncio.sleep(0)
    assert isinstance(in_this_turn.exception(), BrokerUnavailable)


@pytest.mark.parametrize("reply", [b"OK", None, [], [b"e", 1], [b"e", b"1", 0, 0]])
async def test_what_is_no_answer_is_an_error_of_its_own(world: World, reply: Any) -> None:
    one, two = world.publish(b"1"), world.publish(b"2")
    await world.sent()

    await world.answer(reply, at(1))

    assert isinstance(one.exception(), BrokerUnavailable)
    assert await two == stored(1)


async def test_every_one_that_fails_is_told_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_publications, "MAX_WAITING", 4)
    world.publish(b"refused")
    world.publish(b"stored")
    world.publish(b"garbage")
    world.publications.tell(Tell("a", b"a join"))
    world.publish(b"too many")
    await world.sent()
    await world.answer(ReplyError("OOM no"), at(1), None, ReplyError("NOPERM no"))
    assert sorted(world.failed) == ["full", "refused", "refused", "unknown"]

    world.failed.clear()
    world.publish(b"under way")
    await world.sent()
    world.publish(b"waits")
    await world.lose()
    world.connection = None
    world.publish(b"away")
    assert world.failed == ["unknown", "not_connected", "not_connected"]
    assert set(PUBLICATION_FAILURES) == {"full", "refused", "unknown", "not_connected"}


async def test_what_follows_in_one_channel_goes_with_one_command(world: World) -> None:
    asked = [world.plain(b"%d" % n) for n in range(3)] + [world.plain(b"b", "b"), world.plain(b"3")]
    assert await world.commands() == [[b"0", b"1", b"2"], [b"b"], [b"3"]]

    await world.answer(at(7), at(1), at(10))

    assert [await one for one in asked] == [stored(n) for n in (7, 8, 9, 1, 10)]


@pytest.mark.parametrize(
    "changed",
    [
        {"idempotency_key": "k"},
        {"version": 1},
        {"history": KEPT._replace(size=11)},
        {"history": None},
        {"body": bytes(LONG_BYTES)},
    ],
)
async def test_what_is_asked_of_each_alone_is_a_command_of_its_own(
    world: World, changed: dict[str, Any]
) -> None:
    world.plain(b"1")
    alone = Publishing("a", b"2", KEPT)._replace(**changed)
    world.publications.publish(alone)
    world.plain(b"3")
    assert [len(bodies) for bodies in await world.commands()] == [1, 1, 1]


async def test_a_join_stays_between_two_publications(world: World) -> None:
    world.plain(b"1")
    world.publications.tell(Tell("a", b"join"))
    world.plain(b"2")
    assert await world.commands() == [[b"1"], [b"join"], [b"2"]]


async def test_so_many_go_with_one_command_at_most(world: World) -> None:
    for _ in range(MAX_TOGETHER + 1):
        world.plain(b"")
    assert [len(bodies) for bodies in await world.commands()] == [MAX_TOGETHER, 1]


async def test_what_went_together_is_sent_again_together(world: World) -> None:
    one, two = world.plain(b"1"), world.plain(b"2")
    await world.sent()
    await world.answer(LOST)
    assert await world.commands() == [["LOAD"], [b"1", b"2"]]
    await world.answer(b"sha", at(1))
    assert [await one, await two] == [stored(1), stored(2)]


@pytest.mark.parametrize("reply", [ReplyError("OOM no"), None, [b"e", 1]])
async def test_what_went_together_fails_together(world: World, reply: Any) -> None:
    asked = [world.plain(b"1"), world.plain(b"2")]
    await world.sent()
    await world.answer(reply)
    assert all(isinstance(one.exception(), BrokerUnavailable) for one in asked)
    assert len(world.failed) == 2


MOVED = ReplyError("MOVED 5 there:2")


async def test_what_another_server_is_to_be_given_leaves_with_all_that_follows_in_its_channel() -> (
    None
):
    """Red when only what was refused goes: what waits would come before it."""
    moved: list[Item] = []
    world = World(moved.extend)
    first, other = world.publish(b"1"), world.publish(b"x", "b")
    assert await world.sent() == [b"1", b"x"]
    second, next_other = world.publish(b"2"), world.publish(b"y", "b")

    await world.answer(MOVED, [b"e", 1, 0, 0])

    assert [item.answer for item in moved] == [first, second]
    assert not first.done()
    assert await other == Stored(Position("e", 1))
    assert await world.sent() == [b"y"]
    assert not next_other.done()
    assert world.failed == []


@pytest.mark.parametrize("words", ["ASK 5 there:2", "OOM no"])
async def test_an_error_of_one_command_is_told_once(words: str) -> None:
    """Red when it is for each that went with the command: of 6,000 that were sent again and again
    each was worded anew, and the loop was held for most of a second.
    """
    moved: list[Item] = []
    world, counted = World(moved.extend), list[str]()
    world.address.node.count = counted.append
    for number in range(MAX_TOGETHER):
        world.plain(b"%d" % number)
    other = world.publish(b"x", "b")
    await world.sent()

    await world.answer(ReplyError(words), ReplyError(words))

    assert len(counted) == 2
    assert [item.refused for item in moved] == [words] * len(moved)
    assert other.done() == (words == "OOM no")


async def test_what_would_come_out_of_turn_elsewhere_fails() -> None:
    moved: list[Item] = []
    world = World(moved.extend)
    first, second = world.publish(b"1"), world.publish(b"2")
    await world.sent()

    await world.answer(MOVED, [b"e", 1, 0, 0])

    assert moved == []
    assert isinstance(first.exception(), BrokerRefused)
    assert await second == Stored(Position("e", 1))


async def test_on_one_node_a_redirection_is_a_refusal() -> None:
    world = World()
    first = world.publish(b"1")
    await world.sent()

    await world.answer(MOVED)

    assert isinstance(first.exception(), BrokerRefused)


async def test_what_comes_back_at_once_does_not_let_a_second_pipeline_go() -> None:
    """Its replies could not be told from those of the first."""

    def come_back(items: list[Item]) -> None:
        for item in items:
            world.publications.add(item)

    world = World(come_back)
    one = world.publish(b"1")
    assert await world.sent() == [b"1"]
    assert world.connection is not None
    moved = ReplyError("MOVED 1 127.0.0.1:1")
    world.connection.sent[-1][1].set_result([moved])
    asyncio.get_running_loop().call_soon(lambda: later.append(world.publish(b"2")))
    later: list[asyncio.Future[Stored]] = []
    await asyncio.sleep(0)
    assert await world.sent() == [b"1"]
    await world.answer(at(1))
    assert await world.sent() == [b"2"]
    await world.answer(at(2))

    assert await one == stored(1)
    assert await later[0] == stored(2)


async def test_what_cannot_be_said_fails_and_others_go_on() -> None:
    """Nothing would be published any more, by anybody, if the turn were left with its pipeline."""
    world = World()
    unsayable = Publishing("a", b"1", KEPT, version=True)

    class Packing(Connection):
        def execute(self, commands: Sequence[Command]) -> asyncio.Future[list[Any]]:
            for command in commands:
                hiredis.pack_command(cast(Any, command))
            return super().execute(commands)

    world.connection = Packing()
    wrong = world.publications.publish(unsayable)
    await asyncio.sleep(0)
    later = world.publish(b"2")
    assert await world.sent() == [b"2"]
    await world.answer(at(1))

    assert isinstance(wrong.exception(), BrokerUnavailable)
    assert world.failed == ["refused"]
    assert await later == stored(1)
