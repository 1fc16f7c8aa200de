"""What one connection may send: at each bound it works, one past it ends the connection."""

from __future__ import annotations

import pytest

from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import in_process
from tests.support.rawclient import PING, TEXT, frame, raw_websocket, text_frame
from tests.support.waiting import eventually

BYTES = 65536


@pytest.mark.parametrize("letter", ["x", "ä", "🙂"])
async def test_a_message_of_exactly_the_limit_is_answered(
    settings: MakeSettings, letter: str
) -> None:
    text = letter * (BYTES // len(letter.encode()))
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        client.say(text)

        assert await client.texts(1) == [f"Received:{text}"]


@pytest.mark.parametrize("letters", ["x", "ä"])
async def test_one_byte_over_the_limit_closes_with_1009(
    settings: MakeSettings, letters: str
) -> None:
    text = "x" * (BYTES + 1 - len(letters.encode())) + letters
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        client.say(text)
        last = (await client.rest())[-1]

        assert last.closing[0] == 1009
        assert last.closing[1]


async def test_fragments_that_are_too_long_together_close_with_1009(
    settings: MakeSettings,
) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        client.send(frame(TEXT, b"x" * BYTES, fin=False), frame(0, b"x"))

        assert (await client.rest())[-1].closing[0] == 1009


async def test_fragments_of_exactly_the_limit_are_one_message(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        client.send(
            frame(TEXT, b"x" * (BYTES - 10), fin=False),
            frame(0, b"y" * 4, fin=False),
            frame(0, b"z" * 6),
        )

        assert await client.texts(1) == ["Received:" + "x" * (BYTES - 10) + "yyyyzzzzzz"]


async def test_more_pings_than_the_setting_close_with_3013(settings: MakeSettings) -> None:
    async with (
        in_process(settings(frames_per_second=5)) as served,
        raw_websocket(served.port) as client,
    ):
        client.send(frame(PING, b"") * 5)
        client.say("still here")
        assert [(await client.receive()).opcode for _ in range(6)].count(TEXT) == 1
        client.send(frame(PING, b"") * 20)

        assert (await client.rest())[-1].closing == (3013, "frame rate exceeded")


async def test_an_empty_message_is_answered(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        client.say("")

        assert await client.texts(1) == ["Received:"]


async def test_as_many_messages_as_a_second_allows_are_answered(settings: MakeSettings) -> None:
    async with (
        in_process(settings(messages_per_second=20)) as served,
        raw_websocket(served.port) as client,
    ):
        client.say(*map(str, range(20)))

        assert await client.texts(20) == [f"Received:{number}" for number in range(20)]


async def test_a_message_too_many_in_a_second_closes_with_3013(settings: MakeSettings) -> None:
    async with in_process(settings(messages_per_second=5)) as served:
        counted = Counted(served)
        async with raw_websocket(served.port) as client:
            client.say(*["more"] * 40)
            goodbye, last = (await client.rest())[-2:]

            assert goodbye.text == "Bye!!!"
            assert last.closing == (3013, "message rate exceeded")
            await eventually(
                lambda: counted("gateway_connections_closed_total", code="3013") == 1, "a count"
            )


async def test_the_message_rate_is_of_one_connection(settings: MakeSettings) -> None:
    async with (
        in_process(settings(messages_per_second=2)) as served,
        raw_websocket(served.port) as first,
        raw_websocket(served.port) as second,
    ):
        for client in (first, second):
            client.say("one", "two")

        assert await first.texts(2) == await second.texts(2) == ["Received:one", "Received:two"]


async def test_messages_are_counted_in_and_out(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(*[text_frame("hello")] * 7)
        await client.texts(7)

        assert counted("gateway_messages_received_total") == 7
        assert counted("gateway_messages_sent_total") == 7
        assert counted("gateway_dispatches_total", path="local", outcome="answered") == 7
