"""Hooks run on a handler worker, are answered once and in order, and harm nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import Gateway
from gateway.protocol.centrifuge import codes
from gateway.protocol.conversation import MAX_IN_FLIGHT
from gateway.protocol.envelopes.dispatching import Answer
from gateway.protocol.hooks import HookKind, HookOutcome
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.integration.asking import asker
from tests.integration.club import FOREVER, INTERNAL, Club, apart
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import in_process
from tests.support.logs import capture_logs
from tests.support.waiting import eventually


async def test_a_hook_that_nobody_can_ask_is_said_at_the_start(settings: MakeSettings) -> None:
    app = Gateway()

    async def hook(asked: Any) -> Any:
        """Nothing."""

    app.on_subscribe("room:*")(hook)
    app.on_subscribe("plain*")(hook)
    app.on_publish("$hall:1")(hook)
    app.on_unsubscribe("set:up:*")(hook)
    app.on_rpc("no:channel")(hook)
    named = Namespaces(named={"set": ChannelOptions()})
    with capture_logs() as logs:
        async with in_process(settings(channel=named), app):
            pass

    assert [
        (each["hook"], each["pattern"], each["namespace"])
        for each in logs
        if each["event"] == "hook of no namespace"
    ] == [("on_subscribe", "room:*", "room"), ("on_publish", "$hall:1", "hall")]


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
        ("rpc", "echo", "[" * 25_000 + "]" * 25_000, [107, "bad request", False]),
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
    assert (errors[0]["event"] == "answer not sendable") is (name == "huge")
    assert errors[0]["hook"] == f"on_{kind}"
    assert errors[0]["method" if kind == "rpc" else "channel"] == name
    if name in ("bytes", "self", "surrogate", "false json", "room:odd"):
        assert "Club._" in errors[0]["why"]


async def test_a_hook_that_hangs_is_cancelled(settings: MakeSettings) -> None:
    async with apart(settings, Club(), handler_seconds=0.3) as (edge, _), asker(edge) as client:
        with capture_logs() as logs:
            client.ask("rpc", "hang")
            client.ask("rpc", "echo", "1")

            assert await client.told() == {"id": 1, "error": INTERNAL}
            assert await client.told() == {"id": 2, "result": ["1", None, None]}

    [cancelled] = [line for line in logs if line["event"] == "handler cancelled"]
    assert (cancelled["hook"], cancelled["method"]) == ("on_rpc", "hang")


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


def unusable(monkeypatch: pytest.MonkeyPatch, *, also_none: bool) -> None:
    """Have connections fail at what hooks answer; or also at being told that there is none."""

    def outcome(answer: Answer | None) -> HookOutcome:
        if answer is None and not also_none:
            return codes.INTERNAL
        raise RuntimeError("of one answer")

    monkeypatch.setattr("gateway.edge.hook_calls._outcome", outcome)


async def test_who_cannot_use_the_answer_of_a_hook_is_answered_an_error(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when whoever waits is forgotten before the answer is used: the client waits for ever."""
    async with apart(settings, Club()) as (edge, _), asker(edge) as client:
        counted = Counted(edge)
        with capture_logs() as logs, monkeypatch.context() as broken:
            unusable(broken, also_none=False)
            assert await client.answer("publish", "room:1", '"hi"') == INTERNAL
        assert await client.answer("publish", "room:1", '"hi"') == [None, None, None]

        assert counted("gateway_answers_not_taken_total") == 1
    assert [line["event"] for line in logs if line["log_level"] == "error"] == ["answer not taken"]


async def test_who_cannot_even_be_told_that_is_closed(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    unusable(monkeypatch, also_none=True)
    async with apart(settings, Club()) as (edge, _), asker(edge) as client:
        with capture_logs() as logs:
            client.ask("publish", "room:1", '"hi"')
            closing = (await client.client.rest())[-1].closing

    assert closing is not None
    assert closing[0] == 1011
    events = [line["event"] for line in logs if line["log_level"] == "error"]
    assert events == ["answer not taken", "dispatch failed"]
