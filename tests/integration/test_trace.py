"""The subprotocol that tells who holds a connection and who answered."""

from __future__ import annotations

import json

from gateway import Gateway, Message
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import in_process
from tests.support.rawclient import BINARY, close_frame, frame, handshake, raw_websocket

OFFER = "gateway.trace.v1"


async def test_it_begins_with_a_greeting_and_wraps_every_reply(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        async with raw_websocket(served.port, Sec_WebSocket_Protocol=OFFER) as client:
            client.say("hello")
            greeting, reply = map(json.loads, await client.texts(2))
            [member] = served.worker.parts.hub

        me = served.worker.me
        assert greeting == {"connection": member.id, "worker": me}
        assert reply == {"text": "Received:hello", "handled_by": me, "attempt": 1}


async def test_it_is_among_several_offers(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        answer = await handshake(served.port, Sec_WebSocket_Protocol=f"chat, {OFFER}")

        assert answer.headers["sec-websocket-protocol"] == OFFER


async def test_an_unknown_offer_is_not_taken(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        answer = await handshake(served.port, Sec_WebSocket_Protocol="chat")

        assert answer.status == 101
        assert "sec-websocket-protocol" not in answer.headers


async def test_it_is_not_taken_when_it_is_off(settings: MakeSettings) -> None:
    async with (
        in_process(settings(trace=False)) as served,
        raw_websocket(served.port, Sec_WebSocket_Protocol=OFFER) as client,
    ):
        client.say("hello")

        assert await client.texts(1) == ["Received:hello"]


async def test_a_failed_handler_is_told_and_the_connection_stays(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        return {"good": "fine"}[message.text]

    async with (
        in_process(settings(), gateway) as served,
        raw_websocket(served.port, Sec_WebSocket_Protocol=OFFER) as client,
    ):
        client.say("bad", "bad", "good")
        _, *errors, reply = map(json.loads, await client.texts(4))

        assert errors == [{"error": "handler failed"}] * 2
        assert reply["text"] == "fine"


async def test_every_message_of_it_is_json_to_the_end(settings: MakeSettings) -> None:
    async with (
        in_process(settings()) as served,
        raw_websocket(served.port, Sec_WebSocket_Protocol=OFFER) as client,
    ):
        client.send(frame(BINARY, b""))
        _, last = await client.rest()

        assert last.closing == (1003, "text messages only")


async def test_its_client_is_told_bye_in_the_closing_handshake(settings: MakeSettings) -> None:
    async with (
        in_process(settings()) as served,
        raw_websocket(served.port, Sec_WebSocket_Protocol=OFFER) as client,
    ):
        client.send(close_frame(1000))
        _, last = await client.rest()

        assert last.closing == (1000, "Bye!!!")
