"""Envelopes and headers of every kind, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from gateway.protocol.envelopes.dispatching import (
    Admitted,
    Blocking,
    ConnectionFacts,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Failed,
    Forget,
    Introduce,
    Rejected,
    Reply,
)
from gateway.protocol.envelopes.hooks import DispatchHook, HookAnswered, HookDenied
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.loopback import Probe
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
from gateway.protocol.envelopes.reporting import Watched
from gateway.protocol.envelopes.requests_to_owners import (
    Disconnect,
    Inquire,
    ListChannels,
    Particulars,
    Receipted,
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
)
from gateway.protocol.envelopes.wire import VERSION, Header
from gateway.protocol.ids import connection_id, worker_id
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.receipt import Receipt
from gateway.protocol.trace_context import TraceContext

TEXT = st.text(max_size=20)
BYTES = st.binary(max_size=20)
WORKER = st.binary(min_size=10, max_size=10).map(worker_id)
CONNECTION = st.builds(connection_id, WORKER, st.binary(min_size=16, max_size=16))
COUNT = st.integers(0, 2**63)
EXPIRY = st.none() | st.floats(0, 2**40)
FACTS = st.builds(
    ConnectionFacts,
    user=st.none() | TEXT,
    address=TEXT,
    query=TEXT,
    headers=st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
    subprotocols=st.lists(TEXT, max_size=3).map(tuple),
    expires_unix_s=EXPIRY,
)
PARTICULARS = st.builds(Particulars, COUNT, COUNT, st.none() | TEXT, TEXT, TEXT)
RECEIPT = st.sampled_from(Receipt)
TRACE = st.builds(TraceContext, TEXT, TEXT)
CHANNELS = st.lists(TEXT, max_size=3).map(tuple)
BY_KIND: dict[type[Envelope], st.SearchStrategy[Envelope]] = {
    Introduce: st.builds(Introduce, CONNECTION, FACTS),
    Forget: st.builds(Forget, CONNECTION),
    Dispatch: st.builds(Dispatch, CONNECTION, COUNT, COUNT, TEXT),
    DispatchConnect: st.builds(DispatchConnect, CONNECTION, COUNT, COUNT),
    DispatchDisconnect: st.builds(DispatchDisconnect, CONNECTION, COUNT, COUNT, COUNT, TEXT),
    Reply: st.builds(Reply, CONNECTION, COUNT, COUNT, st.none() | TEXT),
    Failed: st.builds(Failed, CONNECTION, COUNT, COUNT, TEXT),
    Admitted: st.builds(Admitted, CONNECTION, COUNT, COUNT, st.none() | TEXT, EXPIRY, CHANNELS),
    Rejected: st.builds(Rejected, CONNECTION, COUNT, COUNT, COUNT, TEXT),
    Probe: st.builds(Probe, COUNT),
    Arrived: st.builds(
        Arrived, WORKER, st.none() | st.builds(WorkerInfo, st.booleans(), st.booleans())
    ),
    Leaving: st.builds(Leaving, WORKER),
    Gone: st.builds(Gone, WORKER, st.booleans()),
    Watched: st.builds(Watched, WORKER),
    Send: st.builds(Send, CONNECTION, COUNT, TEXT, st.none() | TEXT, st.booleans()),
    Disconnect: st.builds(Disconnect, CONNECTION, COUNT, COUNT, TEXT, st.booleans()),
    Inquire: st.builds(Inquire, CONNECTION, COUNT, st.booleans()),
    Blocking: st.builds(Blocking, CONNECTION, COUNT, COUNT),
    Receipted: st.builds(
        Receipted,
        CONNECTION,
        COUNT,
        RECEIPT,
        st.none() | PARTICULARS,
        st.none() | TEXT,
        st.none() | st.lists(st.tuples(TEXT, COUNT), max_size=3).map(tuple),
    ),
    ListChannels: st.builds(ListChannels, COUNT, TEXT, TEXT, COUNT, st.booleans()),
    SubscribeConnection: st.builds(SubscribeConnection, CONNECTION, COUNT, TEXT, st.booleans()),
    UnsubscribeConnection: st.builds(UnsubscribeConnection, CONNECTION, COUNT, TEXT, st.booleans()),
    DispatchHook: st.builds(
        DispatchHook, CONNECTION, COUNT, COUNT, TEXT, TEXT, BYTES, BYTES, BYTES, COUNT, TEXT
    ),
    HookAnswered: st.builds(
        HookAnswered, CONNECTION, COUNT, COUNT, st.none() | BYTES, st.none() | BYTES, EXPIRY
    ),
    HookDenied: st.builds(HookDenied, CONNECTION, COUNT, COUNT, COUNT, TEXT, st.booleans()),
    TracedDispatch: st.builds(TracedDispatch, CONNECTION, COUNT, COUNT, TEXT, TRACE),
    TracedDispatchConnect: st.builds(TracedDispatchConnect, CONNECTION, COUNT, COUNT, TRACE),
    TracedDispatchDisconnect: st.builds(
        TracedDispatchDisconnect, CONNECTION, COUNT, COUNT, COUNT, TEXT, TRACE
    ),
    TracedDispatchHook: st.builds(
        TracedDispatchHook,
        CONNECTION,
        COUNT,
        COUNT,
        TEXT,
        TEXT,
        BYTES,
        BYTES,
        BYTES,
        COUNT,
        TEXT,
        TRACE,
    ),
    TracedSend: st.builds(
        TracedSend, CONNECTION, COUNT, TEXT, st.none() | TEXT, st.booleans(), TRACE
    ),
    TracedDisconnect: st.builds(
        TracedDisconnect, CONNECTION, COUNT, COUNT, TEXT, st.booleans(), TRACE
    ),
    TracedInquire: st.builds(TracedInquire, CONNECTION, COUNT, st.booleans(), TRACE),
    TracedSubscribeConnection: st.builds(
        TracedSubscribeConnection, CONNECTION, COUNT, TEXT, st.booleans(), TRACE
    ),
    TracedUnsubscribeConnection: st.builds(
        TracedUnsubscribeConnection, CONNECTION, COUNT, TEXT, st.booleans(), TRACE
    ),
}
ENVELOPE = st.one_of(*BY_KIND.values())
HEADER = st.builds(
    Header,
    version=st.just(VERSION),
    sender=WORKER,
    epoch=COUNT,
    number=COUNT,
    ack_epoch=st.integers(-(2**63), 2**63),
    ack=COUNT,
    ask=st.booleans(),
    serial=COUNT,
    heard=COUNT,
    room=COUNT,
    held=st.lists(COUNT, max_size=4).map(tuple),
)
