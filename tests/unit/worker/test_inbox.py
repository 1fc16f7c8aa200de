"""What comes in is given to who has registered for its kind, and one that breaks harms no other."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from gateway.broker.memory import MemoryBroker
from gateway.channel_broker.memory import MemoryChannelBroker
from gateway.handlers.definitions import Handlers
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol.envelopes.dispatching import Forget
from gateway.protocol.envelopes.kinds import Envelope, all_kinds
from gateway.protocol.envelopes.loopback import Probe
from gateway.protocol.envelopes.membership import Arrived, Gone
from gateway.protocol.ids import WorkerId
from gateway.registry.memory import MemoryRegistry
from gateway.settings.config import Settings
from gateway.worker.inbox import Inbox
from gateway.worker.worker import Worker
from gateway.worker.worker_ids import new_worker_id
from tests.support.logs import capture_logs

PEER = WorkerId("p" * 16)

Taken = list[tuple[WorkerId, Envelope]]


class Stand:
    def __init__(self) -> None:
        self.counters = Counters()
        self.taken: Taken = []
        self.inbox = Inbox(
            links=Mock(), hub=Hub(), runner=Mock(), counters=self.counters, heard=lambda: None
        )

    def take(self, peer: WorkerId, envelope: Envelope) -> None:
        self.taken.append((peer, envelope))


def test_an_envelope_is_given_to_who_has_registered_for_its_kind() -> None:
    stand = Stand()
    others: Taken = []
    stand.inbox.register(Probe, stand.take)
    stand.inbox.register(Gone, lambda peer, envelope: others.append((peer, envelope)))

    stand.inbox.deliver(PEER, [Probe(1), Gone(PEER), Probe(2)])

    assert stand.taken == [(PEER, Probe(1)), (PEER, Probe(2))]
    assert others == [(PEER, Gone(PEER))]


def test_a_kind_has_one_receiver() -> None:
    stand = Stand()
    stand.inbox.register(Probe, stand.take)

    with pytest.raises(ValueError, match="Probe has a receiver already"):
        stand.inbox.register(Probe, stand.take)


def test_an_envelope_that_breaks_its_receiver_harms_no_other() -> None:
    stand = Stand()
    stand.inbox.register(Probe, stand.take)
    stand.inbox.register(Gone, Mock(side_effect=KeyError("in the receiver")))

    with capture_logs() as events:
        stand.inbox.deliver(PEER, [Probe(1), Gone(PEER), Probe(2)])

    assert [envelope for _, envelope in stand.taken] == [Probe(1), Probe(2)]
    assert stand.counters.unreadable == 1
    [failed] = events
    assert (failed["event"], failed["kind"]) == ("envelope failed", "Gone")
    assert failed["from_worker"] == PEER


def test_a_kind_without_a_receiver_is_counted_each_time_and_told_once() -> None:
    """Red when such an envelope is passed over in silence: what it was for never happens."""
    stand = Stand()
    stand.inbox.register(Probe, stand.take)

    with capture_logs() as events:
        stand.inbox.deliver(PEER, [Arrived(PEER), Probe(1), Arrived(PEER), Forget("c")])  # type: ignore[arg-type]

    assert [envelope for _, envelope in stand.taken] == [Probe(1)]
    assert stand.counters.unreadable == 3
    assert [(e["event"], e["kind"]) for e in events] == [
        ("envelope without receiver", "Arrived"),
        ("envelope without receiver", "Forget"),
    ]


async def test_a_worker_has_a_receiver_for_every_kind_that_it_can_read() -> None:
    """Red with any line of ``gateway.worker.envelope_receivers`` left out."""
    worker = Worker(
        Settings(),
        Handlers(),
        MemoryBroker(),
        MemoryRegistry(),
        MemoryChannelBroker(),
        presence_store=MemoryPresenceStore(),
        me=new_worker_id(),
    )

    assert set(worker.parts.inbox._receivers) == set(all_kinds().values())
