"""The words of ``/communicate``: whoever changes one breaks clients that look for it."""

from __future__ import annotations

from gateway.protocol import text_endpoint


def test_the_words_that_clients_look_for_stay() -> None:
    assert text_endpoint.GOODBYE == "Bye!!!"
    assert text_endpoint.TRACE_SUBPROTOCOL == "gateway.trace.v1"
