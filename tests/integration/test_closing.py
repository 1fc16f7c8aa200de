"""How connections end: the code and reason that the client sees, and the code that is counted."""

from __future__ import annotations

import pytest

from gateway import Gateway, Message
from gateway.edge.sockets.picows_websocket import GatewayWebSocket
from gateway.protocol.ids import owner_of
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import in_process
from tests.support.rawclient import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Frame,
    close_frame,
    frame,
    handshake,
    raw_client,
    raw_websocket,
    request,
    text_frame,
)
from tests.support.waiting import eventually

CLOSED = "gateway_connections_closed_total"
INVALID = "ä".encode()[:1]


def failing() -> Gateway:
    gateway = Gateway()

    @gateway.on_message
    async def fail(message: Message) -> str:
        if message.text == "fail":
            raise RuntimeError
        return message.text

    return gateway


@pytest.mark.parametrize(
    ("close", "label"),
    [
        (close_frame(1000), "1000"),
        (close_frame(1001, "going away"), "1001"),
        (close_frame(3999), "3xxx"),
        (close_frame(4999, "x" * 123), "4xxx"),
        (frame(CLOSE, b""), "1005"),
    ],
    ids=["1000", "1001", "3999", "4999", "none"],
)
async def test_a_client_that_leaves_is_told_bye(
    settings: MakeSettings, close: bytes, label: str
) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(close)

        assert [got.closing for got in await client.rest()] == [(1000, "Bye!!!")]
        assert counted(CLOSED, code=label) == 1


async def test_a_close_ends_what_is_read_but_not_what_was_asked_before(
    settings: MakeSettings,
) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        client.say("one")
        assert await client.texts(1) == ["Received:one"]
        client.send(close_frame(1000), text_frame("too late"))

        assert [got.closing for got in await client.rest()] == [(1000, "Bye!!!")]


@pytest.mark.parametrize(
    ("sent", "code", "reason"),
    [
        (frame(BINARY, b"\0\1"), 1003, "text messages only"),
        (text_frame("fail"), 1011, "handler failed"),
    ],
    ids=["binary", "failure"],
)
async def test_the_last_text_before_the_server_closes_is_bye(
    settings: MakeSettings, sent: bytes, code: int, reason: str
) -> None:
    async with in_process(settings(), failing()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(sent)

        goodbye, last = await client.rest()
        assert goodbye == Frame(TEXT, b"Bye!!!")
        assert last.closing == (code, reason)
        assert counted(CLOSED, code=str(code)) == 1


@pytest.mark.parametrize(
    ("pieces", "code"),
    [
        pytest.param([frame(TEXT, INVALID)], 1007, id="cut letter"),
        pytest.param(
            [frame(TEXT, INVALID, fin=False), frame(CONTINUATION, b"x")], 1007, id="later"
        ),
        pytest.param([frame(TEXT, b"\xed\xa0\x80")], 1007, id="surrogate"),  # RFC 3629
        pytest.param([close_frame(1000, "x")[:-1] + INVALID], 1007, id="reason"),
        pytest.param([frame(CONTINUATION, b"x")], 1002, id="continues nothing"),
        pytest.param([frame(TEXT, b"x", fin=False), frame(TEXT, b"x")], 1002, id="not continued"),
        pytest.param([frame(PING, b"x" * 126)], 1002, id="long ping"),
        pytest.param([frame(PING, b"x", fin=False)], 1002, id="ping in pieces"),
        pytest.param([frame(0x3, b"x")], 1002, id="opcode"),
        pytest.param([b"\x81\x01x"], 1002, id="not masked"),
        pytest.param([b"\xc1\x81\0\0\0\0x"], 1002, id="bit of no extension"),
        pytest.param([close_frame(1005)], 1002, id="code 1005"),
        pytest.param([close_frame(999)], 1002, id="code 999"),
        pytest.param([frame(CLOSE, b"\3")], 1002, id="half a code"),
    ],
)
async def test_what_breaks_the_protocol_is_closed_with_its_code(
    settings: MakeSettings, pieces: list[bytes], code: int
) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(*pieces)

        last = (await client.rest())[-1]
        assert last.closing[0] == code
        assert last.closing[1]
        assert counted(CLOSED, code=str(code)) == 1


async def test_a_letter_may_be_cut_by_fragments(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        client.send(
            frame(TEXT, "hä".encode()[:2], fin=False),
            frame(PING, b"between"),
            frame(CONTINUATION, "ä".encode()[1:]),
        )

        assert await client.receive() == Frame(PONG, b"between")
        assert await client.texts(1) == ["Received:hä"]


@pytest.mark.parametrize("way", ["reset", "end of file"])
async def test_a_client_that_vanishes_is_counted_as_1006(settings: MakeSettings, way: str) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        if way == "reset":
            client.abort()
        else:
            client.end()

        await eventually(lambda: counted(CLOSED, code="1006") == 1, "the count")
        assert not len(served.worker.parts.hub)


async def test_a_drain_closes_with_3001(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        served.should_exit = True
        goodbye, last = await client.rest()

        assert goodbye == Frame(TEXT, b"Bye!!!")
        assert last.closing == (3001, "drain")
        assert counted(CLOSED, code="3001") == 1


async def test_after_its_close_the_server_takes_no_message(settings: MakeSettings) -> None:
    async with in_process(settings(), failing()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(frame(BINARY, b""), text_frame("more"), frame(BINARY, b""))
        await client.rest()

        assert counted("gateway_messages_received_total") == 0


async def test_a_client_that_does_not_answer_a_close_is_cut_off(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GatewayWebSocket, "close_timeout_s", 0.1)
    async with in_process(settings()) as served, raw_websocket(served.port) as client:
        counted = Counted(served)
        client.send(frame(BINARY, b""))
        await client.ended()

        await eventually(lambda: counted(CLOSED, code="1003") == 1, "the count")


async def test_each_connection_is_told_its_id_in_the_handshake(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        answers = [await handshake(served.port) for _ in range(2)]
        ids = {answer.headers["gateway-connection-id"] for answer in answers}

        assert len(ids) == 2
        assert {owner_of(name) for name in ids} == {served.worker.me}


async def test_messages_that_come_with_the_handshake_do_no_harm(settings: MakeSettings) -> None:
    """A client must wait for the 101 (RFC 6455 section 4.1); one that does not is nobody's loss."""
    async with in_process(settings()) as served, raw_client(served.port) as client:
        client.send(request(), text_frame("early"))
        assert (await client.response()).status == 101
        client.say("late")

        assert (await client.receive()).text in ("Received:early", "Received:late")
