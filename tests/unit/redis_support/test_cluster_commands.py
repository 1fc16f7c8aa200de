"""``ClusterCommands``: where each command goes, and goes again. Masters are stand-ins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.exceptions import AskError, MovedError, NoScriptError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import BrokerUnavailable
from gateway.redis_support import cluster_commands
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.cluster_commands import ClusterCommands, Command
from gateway.redis_support.slots import SLOTS, Sight
from gateway.redis_support.stream import Endpoint
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.redis_support.cluster_world import A, B, C, World, in_half, sight

HERE, THERE = in_half(0)[0].decode(), in_half(1)[0].decode()


class Cluster:
    """Two masters that answer with the number of the command at them, unless they are told to."""

    def __init__(self) -> None:
        self.world = World()
        self.sent: list[tuple[Endpoint, list[Command]]] = []
        self.answers: dict[tuple[Endpoint, Command], list[Any]] = {}
        self.away: set[Endpoint] = set()
        self.late: set[Endpoint] = set()
        self.closed: list[Endpoint] = []
        self.held: dict[Endpoint, asyncio.Event] = {}

    async def answer(self, master: Endpoint, commands: list[Command]) -> list[Any]:
        self.sent.append((master, commands))
        await asyncio.sleep(0)
        if master in self.held:
            await self.held[master].wait()
        if master in self.away:
            raise RedisConnectionError("away")
        if master in self.late:
            raise RedisTimeoutError("late")
        replies = []
        for number, command in enumerate(commands):
            others = self.answers.get((master, command))
            replies.append(others.pop(0) if others else number)
        return replies

    def client(self, address: RedisAddress, *, name: str) -> Client:
        assert address.locator is not None
        assert address.locator.primary is not None
        return Client(self, address.locator.primary)


class Client:
    """One of redis-py's, of which a pipeline is used."""

    def __init__(self, cluster: Cluster, master: Endpoint) -> None:
        self.cluster, self.master = cluster, master
        self.commands: list[Command] = []

    def pipeline(self, *, transaction: bool) -> Client:
        assert not transaction
        return Client(self.cluster, self.master)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    def execute_command(self, *words: Any) -> None:
        self.commands.append(words)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        return await self.cluster.answer(self.master, self.commands)

    async def aclose(self) -> None:
        self.cluster.closed.append(self.master)


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    made = Cluster()
    made.world.all_say(sight(A, B))
    monkeypatch.setattr(cluster_commands, "client", made.client)
    monkeypatch.setattr(cluster_commands, "AGAIN_S", 0.0)
    yield made
    await made.world.aclose()


@pytest.fixture
def commands(cluster: Cluster) -> ClusterCommands:
    return ClusterCommands(cluster.world.address(), name="test")


async def test_each_goes_to_its_owner_and_those_of_one_together(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    replies = await commands.send([(HERE, ("1",)), (THERE, ("2",)), (HERE, ("3",))])

    assert sorted(cluster.sent) == [(A, [("1",), ("3",)]), (B, [("2",)])]
    assert replies == [0, 0, 1]


async def test_what_has_moved_is_sent_again_and_nothing_else(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    moved = MovedError("0 b:2")
    cluster.answers[A, ("1",)] = [moved, TryAgainError("later")]

    assert await commands.send([(HERE, ("1",)), (HERE, ("2",))]) == [0, 1]

    assert [sent for _, sent in cluster.sent] == [[("1",), ("2",)], [("1",)], [("1",)]]


async def test_who_has_the_keys_of_a_slot_that_moves_is_asked_for_them(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    """Each command is flagged by itself. Red when what was refused with ASK only waits."""
    cluster.answers[A, ("1",)] = [AskError("0 b:2")]
    cluster.answers[A, ("3",)] = [AskError("0 b:2")]

    assert await commands.send([(HERE, ("1",)), (HERE, ("2",)), (HERE, ("3",))]) == [1, 1, 3]

    asked = [("ASKING",), ("1",), ("ASKING",), ("3",)]
    assert cluster.sent == [(A, [("1",), ("2",), ("3",)]), (B, asked)]


async def test_a_host_that_is_not_told_is_the_one_that_was_asked(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    """What cannot be read at all only waits. Red when "?" is taken for a host."""
    for told in ("0 :7", "0 ?:7", "0 a:70000"):
        cluster.answers[A, ("1",)] = [AskError(told)]
        await commands.send([(HERE, ("1",))])

    assert [to for to, _ in cluster.sent] == [A, (A[0], 7), A, (A[0], 7), A, A]


async def test_what_it_has_not_all_of_yet_goes_back_to_the_owner(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    cluster.answers[A, ("1",)] = [AskError("0 c:3")]  # which has no slot yet
    cluster.answers[C, ("1",)] = [TryAgainError("several keys")]

    assert await commands.send([(HERE, ("1",))]) == [0]

    assert [master for master, _ in cluster.sent] == [A, C, A]


async def test_those_that_send_each_other_are_asked_no_more_than_in_time(
    cluster: Cluster, commands: ClusterCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_commands, "REDIS_DEADLINE_S", 0.05)
    monkeypatch.setattr(cluster_commands, "AGAIN_S", 0.01)
    for master, other in ((A, "b:2"), (B, "a:1")):
        cluster.answers[master, ("1",)] = [AskError(f"0 {other}") for _ in range(1000)]

    with capture_logs() as logged:
        [reply] = await commands.send([(HERE, ("1",))])

    assert isinstance(reply, AskError)
    assert len(cluster.sent) < 50
    assert [(e["event"], e["command"]) for e in logged] == [("no redis master takes it", "1")]
    assert "a:1" in logged[0]["error"] or "b:2" in logged[0]["error"]


async def test_a_master_that_has_lost_the_scripts_is_told_them_before_what_it_refused(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    """And no other: one of them may be away. Red when all masters are told."""
    cluster.answers[A, ("1",)] = [NoScriptError("no"), 7]
    cluster.away.add(B)

    assert await commands.send([(HERE, ("1",)), (HERE, ("2",))], loads=[("LOAD",)]) == [7, 1]

    assert cluster.sent == [(A, [("1",), ("2",)]), (A, [("LOAD",), ("1",)])]


async def test_who_imports_a_slot_is_told_the_scripts_as_well(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    cluster.answers[A, ("1",)] = [AskError("0 b:2")]
    cluster.answers[B, ("1",)] = [NoScriptError("no"), 7]

    assert await commands.send([(HERE, ("1",))], loads=[("LOAD",)]) == [7]

    assert cluster.sent[1:] == [
        (B, [("ASKING",), ("1",)]), (B, [("LOAD",), ("ASKING",), ("1",)]),
    ]  # fmt: skip


async def test_a_script_that_stays_unknown_is_loaded_once(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    cluster.answers[A, ("1",)] = [NoScriptError("no") for _ in range(9)]

    [reply] = await commands.send([(HERE, ("1",))], loads=[("LOAD",)])

    assert isinstance(reply, NoScriptError)
    assert len(cluster.sent) == 2


async def test_a_master_that_is_away_fails_its_own_alone(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    """The others carry theirs out, also what moves. Red when the first failure ends it."""
    cluster.away.add(A)
    cluster.answers[B, ("2",)] = [TryAgainError("later")]

    error, reply = await commands.send([(HERE, ("1",)), (THERE, ("2",))])

    assert isinstance(error, RedisConnectionError)
    assert reply == 0
    assert cluster.sent[2:] == [(B, [("2",)])]


async def test_a_master_that_was_waited_for_in_vain_is_not_waited_for_at_once_again(
    cluster: Cluster, commands: ClusterCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when everything waits for its deadline again: a sweep has hundreds of pages."""
    monkeypatch.setattr(cluster_commands, "AWAY_S", 0.05)
    cluster.late.add(A)
    await commands.send([(HERE, ("1",)), (THERE, ("2",))])

    error, reply = await commands.send([(HERE, ("1",)), (THERE, ("2",))])

    assert isinstance(error, BrokerUnavailable)
    assert reply == 0
    assert [master for master, _ in cluster.sent].count(A) == 1
    cluster.late.clear()
    await asyncio.sleep(0.06)  # for so long it is away
    assert await commands.send([(HERE, ("1",))]) == [0]


async def test_what_nobody_has_is_said_once_the_rest_was_done(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    nobody = (*(None,) * (SLOTS // 2), *(B,) * (SLOTS // 2))
    cluster.world.all_say(Sight(nobody, frozenset({A, B}), 2, well=False))

    error, reply = await commands.send([(HERE, ("1",)), (THERE, ("2",))])

    assert isinstance(error, BrokerUnavailable)
    assert reply == 0
    assert cluster.sent == [(B, [("2",)])]


async def test_a_client_of_a_master_that_is_none_any_more_is_closed_once_nobody_uses_it(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    """Red when it is closed under who waits for its replies."""
    await commands.send([(HERE, ("1",)), (THERE, ("1",))])
    cluster.held[A] = asyncio.Event()
    waiting = asyncio.create_task(commands.send([(HERE, ("2",))]))
    await asyncio.sleep(0)
    await cluster.world.believe(sight(C, B, epoch=2))

    await commands.send([(THERE, ("2",))])
    assert cluster.closed == []
    cluster.held[A].set()
    assert await waiting == [0]
    await commands.send([(THERE, ("3",))])
    assert cluster.closed == [A]

    await commands.aclose()
    assert sorted(cluster.closed) == [A, B]


async def test_who_is_in_a_hurry_waits_for_no_master_that_does_not_answer(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    """Red when what lives at others waits with it, and when it is asked again and again."""
    held = cluster.held[A] = asyncio.Event()
    both = [(HERE, ("1",)), (THERE, ("2",))]

    error, reply = await commands.send(both, patience_s=0.01)
    at_once, again = await commands.send(both, patience_s=10.0)

    assert isinstance(error, BrokerUnavailable)
    assert isinstance(at_once, BrokerUnavailable)
    assert (reply, again) == (0, 0)
    assert [master for master, _ in cluster.sent].count(A) == 1
    held.set()
    await commands.aclose()
    assert commands._outstanding == {}


async def test_a_master_that_answers_late_is_waited_for_from_then_on(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    """Red when a master that is slow never gets anything done for who is in a hurry."""
    held = cluster.held[A] = asyncio.Event()
    await commands.send([(HERE, ("1",))], patience_s=0.0)
    held.set()
    await eventually(lambda: not commands._outstanding, "its answer")
    held.clear()
    asyncio.get_running_loop().call_later(0.05, held.set)

    assert await commands.send([(HERE, ("1",))], patience_s=0.0) == [0]


async def test_who_is_in_a_hurry_does_not_wait_for_a_slot_that_moves(
    cluster: Cluster, commands: ClusterCommands
) -> None:
    cluster.answers[A, ("1",)] = [TryAgainError("later")] * 1000

    async with asyncio.timeout(1.0):
        error, reply = await commands.send([(HERE, ("1",)), (THERE, ("2",))], patience_s=0.01)

    assert isinstance(error, TryAgainError)
    assert reply == 0
