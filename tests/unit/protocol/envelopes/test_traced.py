"""What is a part of a trace is the same envelope, and what it was before to who looks at that."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.protocol.envelopes.dispatching import Dispatch, DispatchConnect, DispatchDisconnect
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.requests_to_owners import (
    Disconnect,
    Inquire,
    Send,
    SubscribeConnection,
    UnsubscribeConnection,
)
from gateway.protocol.envelopes.traced import (
    TracedDisconnect,
    TracedDispatch,
    TracedDispatchConnect,
    TracedDispatchDisconnect,
    TracedDispatchHook,
    TracedInquire,
    TracedSend,
    TracedSubscribeConnection,
    TracedUnsubscribeConnection,
    traced,
)
from gateway.protocol.envelopes.wire import encode
from gateway.protocol.trace_context import TraceContext
from tests.support.ids import new_connection_id

CONNECTION = new_connection_id()
TRACE = TraceContext("00-a-b-01", "a=1")
PLAIN = {
    TracedDispatch: Dispatch(CONNECTION, 2, 1, "hello"),
    TracedDispatchConnect: DispatchConnect(CONNECTION, 1, 1),
    TracedDispatchDisconnect: DispatchDisconnect(CONNECTION, 3, 1, 1000, "bye"),
    TracedDispatchHook: DispatchHook(CONNECTION, 4, 1, "rpc", "greet", b"1", code=7, reason="why"),
    TracedSend: Send(CONNECTION, 5, "hello", "key", True),
    TracedDisconnect: Disconnect(CONNECTION, 6, 4000, "enough", True),
    TracedInquire: Inquire(CONNECTION, 7, True),
    TracedSubscribeConnection: SubscribeConnection(CONNECTION, 8, "news", True),
    TracedUnsubscribeConnection: UnsubscribeConnection(CONNECTION, 9, "news", True),
}


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.__name__)
def test_it_has_all_that_the_plain_one_has_and_the_trace(kind: type[Envelope]) -> None:
    plain: Any = PLAIN[kind]
    made: Any = traced(plain, TRACE)

    assert type(made) is kind
    assert isinstance(made, type(plain))
    assert [getattr(made, name) for name in plain.__struct_fields__] == [
        getattr(plain, name) for name in plain.__struct_fields__
    ]
    assert made.trace == TRACE
    assert len(encode(made)) - len(encode(plain)) < 20  # the trace and nothing else
