"""``send`` of the Centrifuge protocol: messages to ``on_message``, and their answers."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import pytest

from gateway import Call, Gateway, Message
from gateway.edge.connection import ClientConnection
from gateway.edge.sessions.centrifuge.authentication import Authentication
from gateway.protocol.centrifuge.session import Answer
from tests.integration.club import apart
from tests.integration.conftest import MakeSettings
from tests.integration.dying import kill
from tests.support.centrifuge_client import CentrifugeClient, centrifuge_client, centrifuge_socket
from tests.support.inprocess import in_process
from tests.support.waiting import eventually

ANYBODY: Final[dict[str, Any]] = {"allow_anonymous_connect_without_token": True}


class Listening:
    """An application that answers what it is sent. One message waits for its gate.

    Attributes:
        given: The messages, as they were begun.
    """

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.given: list[Message] = []
        self.gate = asyncio.Event()
        self.gateway.on_message(self.answer)
        self.gateway.on_rpc("method")(self.call)

    async def answer(self, message: Message) -> str | None:
        self.given.append(message)
        if message.text == '"wait"':
            await self.gate.wait()
        if message.text == '"fail"':
            raise RuntimeError
        return None if message.text == '"hush"' else f'{{"said":{message.text}}}'

    async def call(self, call: Call) -> int:
        return len(self.given)


async def told(client: CentrifugeClient) -> Any:
    return (await client.push("message"))["message"]["data"]


def message(data: object) -> dict[str, Any]:
    return {"send": {"data": data}}


async def test_messages_are_handled_and_answered_in_order_on_another_worker(
    settings: MakeSettings,
) -> None:
    there = Listening()
    async with (
        in_process(settings(role="handler"), there.gateway),
        in_process(settings(role="edge", **ANYBODY), Gateway()) as edge,
        centrifuge_client(edge.port) as ann,
    ):
        call = ann.command(rpc={"method": "method"})
        ann.say(message({"n": 1}), message("hush"), call, message([2, "x"]))

        assert await told(ann) == {"said": {"n": 1}}
        assert (await ann.reply_to(call))["rpc"] == {"data": 2}
        assert await told(ann) == {"said": [2, "x"]}
        assert await there.gateway.send(ann.id, "hello") == "written"
        assert await told(ann) == "hello"
    assert [each.text for each in there.given] == ['{"n":1}', '"hush"', '[2,"x"]']
    assert {each.connection.id for each in there.given} == {ann.id}


async def test_without_an_on_message_in_the_cluster_the_connection_ends(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings(role="handler"), Gateway()),
        in_process(settings(role="edge", **ANYBODY), Listening().gateway) as edge,
        centrifuge_client(edge.port) as ann,
    ):
        ann.say(message(1))

        assert await ann.closed() == (3508, "not available")


async def test_one_that_fails_ends_the_connection_as_on_text_sockets(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings(**ANYBODY), Listening().gateway) as served,
        centrifuge_client(served.port) as ann,
    ):
        ann.say(message(1), message("fail"), message(2))

        assert await ann.closed() == (1011, "handler failed")
        assert await told(ann) == {"said": 1}


async def test_what_a_dead_worker_has_not_answered_another_one_handles(
    settings: MakeSettings,
) -> None:
    both = [Listening(), Listening()]
    async with (
        apart(settings, *both, lease_seconds=1.0, **ANYBODY) as (edge, handlers),
        centrifuge_client(edge.port) as ann,
    ):
        ann.say(message("wait"), message(2))
        await eventually(lambda: any(each.given for each in both), "the first attempt")
        [first] = [each for each in both if each.given]
        [second] = [each for each in both if each is not first]
        second.gate.set()
        await kill(handlers[both.index(first)])

        assert await told(ann) == {"said": "wait"}
        assert await told(ann) == {"said": 2}
    assert [(each.text, each.attempt) for each in second.given] == [('"wait"', 2), ("2", 2)]
    assert second.given[0].id == first.given[0].id


async def test_at_the_bound_of_messages_in_flight_the_socket_is_not_read(
    settings: MakeSettings,
) -> None:
    there = Listening()
    async with (
        in_process(settings(**ANYBODY), there.gateway) as served,
        centrifuge_client(served.port) as ann,
    ):
        [local] = served.worker.parts.hub
        assert isinstance(local, ClientConnection)
        for _ in range(31):
            ann.say(message("wait"))
        assert "unsubscribe" in await ann.ask(unsubscribe={"channel": "a"})
        assert local.reading
        ann.say(message("wait"))
        await eventually(lambda: not local.reading, "the bound")
        there.gate.set()
        for _ in range(32):
            assert await told(ann) == {"said": "wait"}

        assert "unsubscribe" in await ann.ask(unsubscribe={"channel": "a"})


async def test_what_was_read_before_a_drain_is_answered(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when nothing is dispatched any more: it waited for the answer to connect."""
    asked, go_on, let_in = asyncio.Event(), asyncio.Event(), Authentication.connect

    async def later(self: Authentication, *asking: Any) -> Answer:
        asked.set()
        await go_on.wait()
        return await let_in(self, *asking)

    monkeypatch.setattr(Authentication, "connect", later)
    async with (
        in_process(settings(**ANYBODY, drain_seconds=20), Listening().gateway) as served,
        centrifuge_socket(served.port) as ann,
    ):
        ann.say(ann.command(connect={}), message(1))
        await asked.wait()
        served.should_exit = True
        [local] = served.worker.parts.hub
        assert isinstance(local, ClientConnection)
        await eventually(lambda: not local.reading, "the drain")
        go_on.set()

        assert await told(ann) == {"said": 1}
        assert await ann.closed() == (3001, "drain")
