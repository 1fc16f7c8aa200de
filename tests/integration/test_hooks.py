"""Hooks run on a handler worker, are answered once and in order, and harm nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
import pytest

from gateway import (
    Call,
    Connection,
    Denied,
    Gateway,
    Grant,
    Message,
    Publishing,
    Refused,
    Subscription,
    Unsubscription,
)
from gateway.protocol.conversation import MAX_IN_FLIGHT
from gateway.protocol.hooks import HookKind
from tests.integration.asking import asker
from tests.integration.conftest import MakeSettings
from tests.integration.dying import kill
from tests.support.inprocess import InProcess, in_process
from tests.support.logs import capture_logs
from tests.support.waiting import eventually

INTERNAL = [100, "internal server error", True]
FOREVER = 4e9


class Club:
    """Does what it is asked, and notes what it is given."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.given: list[Any] = []
        self.ends: list[str] = []  # of subscriptions and of connections
        self.gate = asyncio.Event()
        gateway = self.gateway
        gateway.on_message(self._message)
        gateway.on_disconnect(self._disconnect)
        gateway.on_subscribe("room:*")(self._subscribe)
        gateway.on_publish("room:*")(self._publish)
        gateway.on_unsubscribe("room:*")(self._unsubscribe)
        gateway.on_rpc("*")(self._call)

    async def _message(self, message: Message) -> str:
        self.given.append(message)
        return message.text

    async def _disconnect(self, connection: Connection) -> None:
        self.ends.append("gone")

    async def _unsubscribe(self, unsubscription: Unsubscription) -> None:
        self.ends.append(f"{unsubscription.channel} {unsubscription.code}")

    async def _subscribe(self, subscription: Subscription) -> Any:
        self.given.append(subscription)
        match subscription.channel.removeprefix("room:"):
            case "secret":
                raise Denied
            case "full":
                raise Denied(1200, "try later", temporary=True)
            case "trap":
                raise Refused(4501, "trapped")
            case "vip":
                return Grant({"vip": True}, [1, 2], FOREVER)
            case "odd":
                return "yes"
        return None

    async def _publish(self, publishing: Publishing) -> Any:
        self.given.append(publishing)
        if publishing.data == "shout":
            return "SHOUT"
        return None

    async def _call(self, call: Call) -> Any:
        self.given.append(call)
        match call.method:
            case "raise":
                raise RuntimeError
            case "hang":
                await asyncio.sleep(3600)
            case "wait":
                await self.gate.wait()
            case "bytes":
                return object()
            case "self":
                looped: list[Any] = []
                looped.append(looped)
                return looped
            case "surrogate":
                return "\ud800"
            case "huge":
                return "x" * ((1 << 20) + 1)
            case "false json":
                return msgspec.Raw(b"{not json")
        return call.data


@asynccontextmanager
async def apart(
    settings: MakeSettings, *clubs: Club, **changes: Any
) -> AsyncIterator[tuple[InProcess, list[InProcess]]]:
    """An edge, and a handler worker for each club."""
    async with AsyncExitStack() as stack:
        handlers = [
            await stack.enter_async_context(
                in_process(settings(role="handler", **changes), club.gateway)
            )
            for club in clubs
        ]
        edge = await stack.enter_async_context(in_process(settings(role="edge", **changes)))
        members = edge.worker.parts.members
        await eventually(lambda: len(members.handlers) == len(clubs), "handlers")
        yield edge, handlers


async def test_a_hook_is_given_what_the_client_asks(settings: MakeSettings) -> None:
    club = Club()
    async with apart(settings, club) as (edge, _), asker(edge) as client:
        await client.answer("subscribe", "room:1", {"a": [1, 2.5, None]}, claims='{"sub":"ann"}')
        await client.answer("publish", "room:1", '"hi"', info='{"name":"Ann"}')
        await client.answer("rpc", "profile", '{"b": "\\u00e9"}')
        await client.answer("rpc", "nothing")
        [member] = edge.worker.parts.hub

    subscription, publishing, call, nothing = club.given
    assert (subscription.channel, subscription.data) == ("room:1", {"a": [1, 2.5, None]})
    assert subscription.token_claims == {"sub": "ann"}
    assert (publishing.channel, publishing.data) == ("room:1", "hi")
    assert publishing.info == {"name": "Ann"}
    assert (call.method, call.data) == ("profile", {"b": "é"})
    assert nothing.data is None
    assert {each.connection.id for each in club.given} == {member.id}
    assert [each.id for each in club.given] == [f"{member.id}:{n}" for n in (1, 2, 3, 4)]
    assert {each.attempt for each in club.given} == {1}


@pytest.mark.parametrize(
    ("kind", "name", "data", "answer"),
    [
        ("subscribe", "room:1", None, [None, None, None]),
        ("subscribe", "room:vip", None, ["[1,2]", '{"vip":true}', FOREVER]),
        ("subscribe", "room:secret", None, [103, "permission denied", False]),
        ("subscribe", "room:full", None, [1200, "try later", True]),
        ("publish", "room:1", '{"kept": 1.50}', [None, None, None]),
        ("publish", "room:1", '"shout"', ['"SHOUT"', None, None]),
        ("rpc", "echo", '[1, {"a": "é"}]', ['[1,{"a":"é"}]', None, None]),
        ("rpc", "echo", None, ["null", None, None]),
        ("rpc", "echo", "[" * 5000 + "]" * 5000, [107, "bad request", False]),
        ("subscribe", "lobby", None, False),
        ("publish", "rooms", '"hi"', False),
    ],
)
async def test_what_a_hook_says_reaches_who_asked(
    settings: MakeSettings, kind: str, name: str, data: str | None, answer: object
) -> None:
    async with apart(settings, Club()) as (edge, _), asker(edge) as client:
        assert await client.answer(kind, name, data) == answer


async def test_where_no_hook_is_nothing_travels(settings: MakeSettings) -> None:
    club = Club()
    async with apart(settings, club) as (edge, _), asker(edge) as client:
        assert await client.answer("publish", "lobby", '"hi"') is False
        counters = edge.worker.parts.counters

        assert not club.given
        assert not counters.dispatches


async def test_before_a_handler_worker_is_seen_nobody_knows(settings: MakeSettings) -> None:
    async with in_process(settings(role="edge"), wait_ready=False) as edge:
        callbacks = edge.worker.parts.cluster.callbacks

        assert callbacks.has_hook(HookKind.RPC, "profile") is None


async def test_a_hook_that_refuses_closes_the_connection(settings: MakeSettings) -> None:
    async with apart(settings, Club()) as (edge, _), asker(edge) as client:
        client.ask("subscribe", "room:trap")

        assert (await client.client.rest())[-1].closing == (4501, "trapped")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("rpc", "raise"),
        ("rpc", "bytes"),
        ("rpc", "self"),
        ("rpc", "surrogate"),
        ("rpc", "huge"),
        ("rpc", "false json"),
        ("subscribe", "room:odd"),
    ],
)
async def test_a_hook_that_fails_is_an_error_of_its_caller_only(
    settings: MakeSettings, kind: str, name: str
) -> None:
    async with (
        apart(settings, Club()) as (edge, _),
        asker(edge) as other,
        asker(edge) as client,
    ):
        with capture_logs() as logs:
            assert await client.answer(kind, name) == INTERNAL
        assert await client.answer("rpc", "echo", "1") == ["1", None, None]
        assert await other.answer("rpc", "echo", "2") == ["2", None, None]

    errors = [line for line in logs if line["log_level"] == "error"]
    assert len(errors) == 1
    if name in ("bytes", "self", "surrogate", "false json", "room:odd"):
        assert "Club._" in errors[0]["why"]


async def test_a_hook_that_hangs_is_cancelled(settings: MakeSettings) -> None:
    async with apart(settings, Club(), handler_seconds=0.3) as (edge, _), asker(edge) as client:
        client.ask("rpc", "hang")
        client.ask("rpc", "echo", "1")

        assert await client.told() == {"id": 1, "error": INTERNAL}
        assert await client.told() == {"id": 2, "result": ["1", None, None]}


async def test_hooks_and_messages_of_a_connection_are_handled_in_order(
    settings: MakeSettings,
) -> None:
    club = Club()
    async with apart(settings, club) as (edge, _), asker(edge) as client:
        client.ask("rpc", "wait")
        for number in range(10):
            client.say(f"{number}")
            client.ask("publish", "room:1", f"{number}")
        await eventually(lambda: club.given, "the first")
        club.gate.set()
        told = [await client.told() for _ in range(21)]

    assert [line.get("id", line.get("said")) for line in told] == [
        1,
        *(each for number in range(10) for each in (f"{number}", number + 2)),
    ]
    assert [given.attempt for given in club.given] == [1] * 21


async def test_a_connection_has_so_many_questions_under_way_as_messages(
    settings: MakeSettings,
) -> None:
    club = Club()
    async with apart(settings, club) as (edge, _), asker(edge) as client:
        for _ in range(2 * MAX_IN_FLIGHT):
            client.ask("rpc", "wait")
        dispatcher = edge.worker.parts.dispatcher
        await eventually(lambda: dispatcher.unanswered >= MAX_IN_FLIGHT, "the bound")
        assert dispatcher.unanswered == MAX_IN_FLIGHT
        club.gate.set()

        told = [await client.told() for _ in range(2 * MAX_IN_FLIGHT)]
    assert [line["id"] for line in told] == list(range(1, 1 + 2 * MAX_IN_FLIGHT))


# The end of subscriptions


async def test_the_application_is_told_of_an_end(settings: MakeSettings) -> None:
    club = Club()
    async with apart(settings, club) as (edge, _), asker(edge) as client:
        await client.answer("subscribe", "room:1")
        client.leave("room:1")
        await eventually(lambda: club.ends, "the end")
        assert await client.answer("rpc", "echo", "1") == ["1", None, None]

    assert club.ends[0] == "room:1 0"


async def test_ends_come_before_on_disconnect(settings: MakeSettings) -> None:
    club = Club()
    async with apart(settings, club) as (edge, _):
        async with asker(edge) as client:
            for number in range(3):
                await client.answer("subscribe", f"room:{number}")
        await eventually(lambda: "gone" in club.ends, "the end")
        await eventually(lambda: not len(edge.worker.parts.hub), "nothing left")

    assert club.ends == ["room:0 1006", "room:1 1006", "room:2 1006", "gone"]


async def test_ends_are_owed_also_without_on_disconnect(settings: MakeSettings) -> None:
    """Red when the connection is forgotten before: nobody hands the end to another worker."""
    clubs = [Club(), Club()]
    for club in clubs:
        club.gateway.handlers.on_disconnect = None
    async with apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers):
        async with asker(edge) as client:
            await client.answer("subscribe", "room:1")
            client.ask("rpc", "wait")
            await eventually(lambda: any(len(club.given) == 2 for club in clubs), "a question")
        await eventually(lambda: edge.worker.parts.counters.closed, "its end")
        [first] = [club for club in clubs if club.given]
        [second] = [club for club in clubs if club is not first]
        second.gate.set()
        await kill(handlers[clubs.index(first)])
        await eventually(lambda: second.ends, "the end", 10)
        await eventually(lambda: not len(edge.worker.parts.hub), "nothing left")

    assert second.ends == ["room:1 1006"]


# Workers that die


async def doomed(clubs: list[Club], handlers: list[InProcess], attempts: int) -> list[Club]:
    """Kill whoever is asked, so often. Returns whom it hit, in that order."""
    hit: list[Club] = []
    for attempt in range(1, attempts + 1):
        await eventually(lambda: any(club.given and club not in hit for club in clubs), "a try")
        [club] = [club for club in clubs if club.given and club not in hit]
        hit.append(club)
        assert club.given[0].attempt == attempt
        await kill(handlers[clubs.index(club)])
    return hit


async def test_what_a_dead_worker_was_asked_is_asked_of_another(settings: MakeSettings) -> None:
    clubs = [Club(), Club(), Club()]
    async with (
        apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers),
        asker(edge) as client,
    ):
        client.ask("rpc", "wait", "1")
        client.ask("rpc", "echo", "2")
        [first] = await doomed(clubs, handlers, 1)
        for club in clubs:
            club.gate.set()

        assert await client.told() == {"id": 1, "result": ["1", None, None]}
        assert await client.told() == {"id": 2, "result": ["2", None, None]}
    [second] = [club for club in clubs if club.given and club is not first]
    assert [given.attempt for given in second.given] == [2, 2]
    assert second.given[0].id == first.given[0].id


async def test_a_question_that_three_workers_died_of_is_an_error(settings: MakeSettings) -> None:
    clubs = [Club() for _ in range(4)]
    async with (
        apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers),
        asker(edge) as client,
    ):
        client.ask("rpc", "wait", "1")
        hit = await doomed(clubs, handlers, 3)

        assert await client.told() == {"id": 1, "error": INTERNAL}
        client.ask("rpc", "echo", "2")
        assert await client.told() == {"id": 2, "result": ["2", None, None]}
    [spared] = [club for club in clubs if club not in hit]
    assert [given.method for given in spared.given] == ["echo"]


async def test_an_end_that_waits_for_a_dead_worker_is_told_by_another(
    settings: MakeSettings,
) -> None:
    clubs = [Club(), Club()]
    async with apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers):
        async with asker(edge) as client:
            await client.answer("subscribe", "room:1")
            [first] = [club for club in clubs if club.given]
            await kill(handlers[clubs.index(first)])
            client.leave("room:1")
            await eventually(lambda: edge.worker.parts.dispatcher.unanswered, "the end")
        [second] = [club for club in clubs if club is not first]
        await eventually(lambda: "gone" in second.ends, "the end", 10)

    assert second.ends == ["room:1 0", "gone"]


async def test_ends_wait_for_a_handler_worker(settings: MakeSettings) -> None:
    """Red when all that waits is abandoned with the socket."""
    club, later = Club(), Club()
    async with apart(settings, club, lease_seconds=1.0) as (edge, [handler]):
        parts = edge.worker.parts
        async with asker(edge) as client:
            await client.answer("subscribe", "room:1")
            await client.answer("subscribe", "room:2")
            await kill(handler)
            await eventually(lambda: not parts.members.handlers, "nobody", 10)
            client.leave("room:1")
            client.ask("rpc", "echo")
            await eventually(lambda: parts.dispatcher.unanswered == 2, "the end")
        await eventually(lambda: parts.counters.closed, "the close")
        async with in_process(settings(role="handler"), later.gateway):
            await eventually(lambda: "gone" in later.ends, "the end", 10)

    assert later.ends == ["room:1 0", "room:2 1006", "gone"]
    assert not later.given
