"""The wire form of each envelope: workers of two releases talk to each other in an upgrade."""

from __future__ import annotations

import msgspec
import pytest

from gateway.protocol.envelopes.dispatching import (
    Admitted,
    Blocking,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Failed,
    Forget,
    Rejected,
    Reply,
)
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.loopback import Probe
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
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
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.receipt import Receipt
from tests.unit.protocol.envelopes.test_wire import (
    CONNECTION,
    A,
    batch,
    introduce,
    raw,
    read_envelopes,
    written,
)


@pytest.mark.parametrize(
    ("envelope", "item"),
    [
        (Forget(CONNECTION), [2, CONNECTION]),
        (Dispatch(CONNECTION, 1, 2, "t"), [3, CONNECTION, 1, 2, "t"]),
        (DispatchConnect(CONNECTION, 1, 2), [4, CONNECTION, 1, 2]),
        (DispatchDisconnect(CONNECTION, 1, 2, 1006, "r"), [5, CONNECTION, 1, 2, 1006, "r"]),
        (Reply(CONNECTION, 1, 2, None), [6, CONNECTION, 1, 2, None]),
        (Failed(CONNECTION, 1, 2, "c"), [7, CONNECTION, 1, 2, "c"]),
        (Admitted(CONNECTION, 1, 2, "ada"), [8, CONNECTION, 1, 2, "ada", None, []]),
        (Rejected(CONNECTION, 1, 2, 4403, "r"), [9, CONNECTION, 1, 2, 4403, "r"]),
        (Probe(3), [10, 3]),
        (Arrived(A), [11, A, None]),
        (
            Arrived(A, WorkerInfo(edge=True, handler=False, envelope_version=3)),
            [
                11,
                A,
                {
                    "edge": True,
                    "handler": False,
                    "leaving": False,
                    "on_message": True,
                    "on_connect": False,
                    "on_disconnect": False,
                    "envelope_version": 3,
                    "host": "",
                    "pid": 0,
                    "hooks": None,
                    "traces": False,
                    "reports": False,
                },
            ],
        ),
        (Leaving(A), [12, A]),
        (Gone(A), [13, A, False]),
        (Gone(A, swept=True), [13, A, True]),
        (
            introduce(("via", "x")),
            [
                1,
                CONNECTION,
                ["ada", "192.0.2.1", "a=1", [["via", "x"]], ["one", "two"], None, [b"", b"", b""]],
            ],
        ),
        (Send(CONNECTION, 1, "t", "k"), [14, CONNECTION, 1, "t", "k", False]),
        (Disconnect(CONNECTION, 1, 4000, "r"), [15, CONNECTION, 1, 4000, "r", False]),
        (Inquire(CONNECTION, 1), [16, CONNECTION, 1, False]),
        (SubscribeConnection(CONNECTION, 1, "c"), [19, CONNECTION, 1, "c", False]),
        (UnsubscribeConnection(CONNECTION, 1, "c"), [20, CONNECTION, 1, "c", False]),
        (ListChannels(1, "room:*", "room:1", 9), [21, 1, "room:*", "room:1", 9, False]),
        (Blocking(CONNECTION, 1, 2), [18, CONNECTION, 1, 2]),
        (Receipted(CONNECTION, 1, Receipt.SLOW), [17, CONNECTION, 1, "slow", None, None, None]),
        (
            Receipted(CONNECTION, 1, Receipt.WRITTEN, Particulars(1, 2, "ada", "192.0.2.1", "x")),
            [
                17,
                CONNECTION,
                1,
                "written",
                [1, 2, "ada", "192.0.2.1", "x", *[None] * 7],
                None,
                None,
            ],
        ),
    ],
)
def test_the_wire_form_is_the_one_that_running_workers_read(
    envelope: Envelope, item: list[object]
) -> None:
    # Fixed for ever: workers of two releases talk to each other during a rolling upgrade.
    assert msgspec.msgpack.decode(written(envelope)) == item


@pytest.mark.parametrize(
    ("item", "envelope"),
    [
        ([8, CONNECTION, 1, 2, "ada"], Admitted(CONNECTION, 1, 2, "ada")),
        ([11, A], Arrived(A)),
        ([13, A], Gone(A)),
        ([17, CONNECTION, 1, "slow", None, None], Receipted(CONNECTION, 1, Receipt.SLOW)),
        (
            [1, CONNECTION, ["ada", "192.0.2.1", "a=1", [["via", "x"]], ["one", "two"]]],
            introduce(("via", "x")),
        ),
    ],
)
def test_what_an_older_release_of_this_version_writes_is_read(
    item: list[object], envelope: Envelope
) -> None:
    assert read_envelopes(batch(raw(item))) == ([envelope], 0)


class _ParticularsBefore(msgspec.Struct, array_like=True, frozen=True):
    """As releases read it that do not know of queues and counts."""

    connected_unix_ms: int
    last_active_unix_ms: int
    user: str | None
    address: str
    user_agent: str


def test_counts_of_a_connection_are_read_by_the_release_before_and_may_be_missing() -> None:
    before = _ParticularsBefore(1, 2, "ada", "192.0.2.1", "x")
    now = Particulars(1, 2, "ada", "192.0.2.1", "x", 3, 4, 5, 6, WorkerId("w" * 16), 7)

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(now), type=_ParticularsBefore) == before
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(before), type=Particulars) == Particulars(
        1, 2, "ada", "192.0.2.1", "x"
    )
