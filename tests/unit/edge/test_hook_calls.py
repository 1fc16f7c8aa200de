"""What a connection may ask of hooks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from gateway.edge.connection_context import ConnectionContext
from gateway.edge.hook_calls import MAX_ASKED_BYTES, HookCalls
from gateway.handlers.dispatch_state import DispatchState, Nobody
from gateway.protocol.centrifuge.codes import LIMIT_EXCEEDED
from gateway.protocol.envelopes.hooks import asking
from gateway.protocol.envelopes.wire import encode
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest
from gateway.protocol.receipt import Receipt
from tests.support.ids import new_connection_id, new_worker_id


class Open:
    taking = Receipt.WRITTEN

    def progressed(self) -> None:
        pass


def test_a_question_that_no_envelope_carries_is_refused_and_not_asked() -> None:
    """Red when it is asked: what a token says of a client had no bound beside what it publishes."""
    asked: list[HookRequest] = []
    dispatcher = SimpleNamespace(ask=lambda _state, request: asked.append(request))
    edge = cast(ConnectionContext, SimpleNamespace(dispatcher=dispatcher))
    name = new_connection_id(new_worker_id())
    calls = HookCalls(Open(), edge, DispatchState(Nobody(name)))
    told: list[HookOutcome] = []

    def question(size: int) -> HookRequest:
        return HookRequest(HookKind.PUBLISH, "c" * 255, b"x" * 65536, info=b"i" * (size - 65791))

    calls.ask(question(MAX_ASKED_BYTES + 1), told.append)
    assert (asked, told) == ([], [LIMIT_EXCEEDED])

    largest = question(MAX_ASKED_BYTES)
    calls.ask(largest, told.append)
    assert (asked, told) == ([largest], [LIMIT_EXCEEDED])
    number: Any = 1 << 53
    encode(asking(name, number, 3, largest))
