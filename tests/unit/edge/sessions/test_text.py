"""What clients of the text endpoint are sent."""

from __future__ import annotations

import json
import time

import pytest

from gateway.channel_broker.memory import MemoryChannelBroker
from gateway.channels.channels import Channels
from gateway.channels.fan_out import FanOut
from gateway.channels.presence import ChannelPresence
from gateway.channels.stored_presence import StoredPresence
from gateway.edge.sessions.base import Session
from gateway.edge.sessions.text import PlainText, Trace
from gateway.edge.sessions.text_subscriptions import TextChannels
from gateway.errors import ConnectionEnding, HandlerFailed
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol.envelopes.dispatching import Presented
from gateway.protocol.ids import WorkerId, connection_id
from gateway.protocol.run import Run
from gateway.settings.namespaces import Namespaces
from tests.unit.edge.sessions.hookless import Hookless

OWNER = WorkerId("a" * 16)
OTHER = WorkerId("b" * 16)
CONNECTION = connection_id(OWNER, bytes(16))

CHANNELS = Channels(
    MemoryChannelBroker(),
    Namespaces().options_of,
    FanOut(Counters(), Hub()),
    Counters(),
    max_channels=1,
    now=time.monotonic,
)
NOBODY = ChannelPresence(
    StoredPresence(OWNER, MemoryPresenceStore(), may_write=lambda: False),
    options_of=Namespaces().options_of,
    tell=lambda _channel, _message: None,
)
PLAIN_TEXT = PlainText(TextChannels(CHANNELS, NOBODY))
TRACE = Trace(TextChannels(CHANNELS, NOBODY))


class Done(Hookless):
    """A connection that writes down what its session does with it."""

    id = CONNECTION
    user = None
    address = "192.0.2.1"
    admitted = False

    reading = True

    def identify(self, user: str | None, presented: Presented) -> None:
        """No text session does that."""

    def __init__(self) -> None:
        self.dispatched: list[tuple[str, int]] = []
        self.closed: list[tuple[int, str]] = []

    def dispatch(self, text: str, size_bytes: int) -> None:
        self.dispatched.append((text, size_bytes))

    def progressed(self) -> None:
        raise AssertionError

    def send(self, payload: bytes) -> None:
        raise AssertionError(payload)

    def send_run(self, run: Run) -> None:
        for message in run.messages:
            self.send(message)

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def end_with(self, ending: ConnectionEnding) -> None:
        self.close(ending.close_code, ending.reason)


@pytest.mark.parametrize("session", [PLAIN_TEXT, TRACE], ids=lambda it: it.name)
def test_each_message_is_handled_as_it_is(session: Session) -> None:
    connection = Done()
    session.on_text(connection, "Grüße", 7)

    assert connection.dispatched == [("Grüße", 7)]


def test_a_binary_message_is_refused() -> None:
    connection = Done()
    PLAIN_TEXT.on_binary(connection)

    assert connection.closed == [(1003, "text messages only")]


def test_plain_text_is_the_handlers_text_as_it_is() -> None:
    assert PLAIN_TEXT.reply("Grüße\n", handled_by=OTHER, attempt=2) == "Grüße\n".encode()


def test_plain_text_begins_with_the_clients_first_answer() -> None:
    assert PLAIN_TEXT.greeting(Done()) is None


def test_plain_text_has_no_words_for_a_failed_handler() -> None:
    assert PLAIN_TEXT.failed(HandlerFailed()) is None


def test_plain_text_says_goodbye_in_words() -> None:
    assert PLAIN_TEXT.goodbye(3001, "drain") == b"Bye!!!"


def test_plain_text_shows_what_is_sent_out_of_turn_as_it_is() -> None:
    assert PLAIN_TEXT.push("news") == b"news"


def test_trace_marks_what_is_sent_out_of_turn() -> None:
    assert json.loads(TRACE.push("news") or b"") == {"push": "news"}


def test_trace_begins_with_the_connection_and_the_worker_that_holds_it() -> None:
    greeting = TRACE.greeting(Done())

    assert greeting is not None
    assert json.loads(greeting) == {"connection": CONNECTION, "worker": OWNER}


def test_trace_says_who_answered_on_which_attempt() -> None:
    reply = TRACE.reply('"Grüße"', handled_by=OTHER, attempt=2)

    assert reply is not None
    assert json.loads(reply) == {"text": '"Grüße"', "handled_by": OTHER, "attempt": 2}


@pytest.mark.parametrize("session", [PLAIN_TEXT, TRACE], ids=lambda it: it.name)
def test_a_handler_that_returns_nothing_is_answered_with_nothing(session: Session) -> None:
    assert session.reply(None, handled_by=OTHER, attempt=1) is None


def test_trace_tells_of_a_failed_handler_and_stays_open() -> None:
    failed = TRACE.failed(HandlerFailed())

    assert failed is not None
    assert json.loads(failed) == {"error": "handler failed"}


def test_trace_says_nothing_that_is_not_json_when_it_closes() -> None:
    assert TRACE.goodbye(3001, "drain") is None
