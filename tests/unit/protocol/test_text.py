"""What clients of the text endpoint are sent."""

from __future__ import annotations

import json

from gateway.errors import HandlerFailed
from gateway.protocol.ids import WorkerId, connection_id
from gateway.protocol.text import Codec, PlainText, Trace

OWNER = WorkerId("a" * 16)
OTHER = WorkerId("b" * 16)
CONNECTION = connection_id(OWNER, bytes(16))


def test_plain_text_is_the_handlers_text_as_it_is() -> None:
    assert PlainText().reply("Grüße\n", handled_by=OTHER, attempt=2) == "Grüße\n"


def test_plain_text_begins_with_the_clients_first_answer() -> None:
    codec: Codec = PlainText()

    assert codec.greeting(CONNECTION) is None


def test_plain_text_has_no_words_for_a_failed_handler() -> None:
    codec: Codec = PlainText()

    assert codec.failed(HandlerFailed()) is None


def test_plain_text_says_goodbye_in_words() -> None:
    assert PlainText().goodbye == "Bye!!!"


def test_plain_text_shows_what_is_sent_out_of_turn_as_it_is() -> None:
    assert PlainText().push("news") == "news"


def test_trace_marks_what_is_sent_out_of_turn() -> None:
    assert json.loads(Trace().push("news")) == {"push": "news"}


def test_trace_begins_with_the_connection_and_the_worker_that_holds_it() -> None:
    assert json.loads(Trace().greeting(CONNECTION)) == {"connection": CONNECTION, "worker": OWNER}


def test_trace_says_who_answered_on_which_attempt() -> None:
    reply = Trace().reply('"Grüße"', handled_by=OTHER, attempt=2)

    assert json.loads(reply) == {"text": '"Grüße"', "handled_by": OTHER, "attempt": 2}


def test_trace_tells_of_a_failed_handler_and_stays_open() -> None:
    assert json.loads(Trace().failed(HandlerFailed())) == {"error": "handler failed"}


def test_trace_says_nothing_that_is_not_json_when_it_closes() -> None:
    assert Trace().goodbye is None
