"""What text sockets get of channels, and what becomes of who wants them there."""

from __future__ import annotations

import json

import pytest

from gateway.edge.sessions.text import PlainText
from gateway.edge.sessions.text_subscriptions import as_text, as_trace
from gateway.errors import BrokerUnavailable, ConnectionEnding, GatewayError, UnknownChannel
from gateway.protocol.channel_messages import PublicationBody
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt
from tests.unit.channels.recording import stand
from tests.unit.channels.scripted_broker import turn
from tests.unit.edge.sessions.hookless import Hookless

ANN = ConnectionId("ann")


class Socket(Hookless):
    """A connection that writes down what it is sent."""

    id = ANN
    user = None
    admitted = True

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def progressed(self) -> None: ...

    def identify(self, user: str) -> None: ...

    def dispatch(self, text: str, size_bytes: int) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def end_with(self, ending: ConnectionEnding) -> None: ...


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'"Gr\xc3\xbc\xc3\x9fe\\n\\u00e9"', "Grüße\né".encode()),
        (b'""', b""),
        (b'{"a": [1, "b"]}', b'{"a": [1, "b"]}'),
        (b"null", b"null"),
        (b"12.50", b"12.50"),
        (b'"\\ud800"', b'"\\ud800"'),  # half of a pair: no text can have it
    ],
)
def test_a_string_leaves_as_its_text_and_anything_else_as_it_was_given(
    data: bytes, text: bytes
) -> None:
    assert as_text("news", 1, PublicationBody(data)) == text


def test_a_trace_names_the_channel() -> None:
    message = as_trace('"news"', 1, PublicationBody(b'{"a": 1}'))

    assert json.loads(message) == {"channel": '"news"', "publication": {"a": 1}}


async def test_everybody_who_asks_while_it_subscribes_is_told_when_it_has() -> None:
    async with stand() as s:
        session, socket, told = PlainText(s.channels), Socket(), list[Receipt | GatewayError]()
        for _ in range(3):
            session.subscribe(socket, "news", told.append)
        await turn()
        assert not told

        await s.broker.settle_down()
        session.subscribe(socket, "news", told.append)
        assert told == [Receipt.WRITTEN] * 4
        s.publisher.publish("news", b'"hello"')
        await s.broker.settle_down()
        assert socket.sent == [b'news 0 "hello"']


async def test_who_asks_is_told_that_it_has_left_or_closed_before() -> None:
    async with stand() as s:
        session, socket, told = PlainText(s.channels), Socket(), list[Receipt | GatewayError]()
        session.subscribe(socket, "a", told.append)
        session.unsubscribe(socket, "a", told.append)
        assert told == [Receipt.GONE, Receipt.WRITTEN]
        session.subscribe(socket, "b", told.append)
        s.channels.closed(ANN)

        assert told[2:] == [Receipt.GONE]
        await s.broker.settle_down()
        assert not s.channels.subscriptions


async def test_who_asks_is_told_why_not() -> None:
    async with stand() as s:
        session, socket, told = PlainText(s.channels), Socket(), list[Receipt | GatewayError]()
        session.subscribe(socket, "unknown:1", told.append)
        session.subscribe(socket, "news", told.append)
        s.broker.fail_subscribing()
        await turn()

        assert [type(each) for each in told] == [UnknownChannel, BrokerUnavailable]
