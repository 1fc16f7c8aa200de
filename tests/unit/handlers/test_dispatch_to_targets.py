"""Which workers an edge among many dispatches to."""

from __future__ import annotations

import pytest

from gateway.broker.memory import MemoryBroker
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import Event
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.hash_ring import RINGS, HashRing, Ring
from gateway.protocol.hooks import HookKind, HookRequest
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Members
from gateway.protocol.subset import SUBSET
from tests.support.ids import new_worker_id
from tests.unit.handlers.test_dispatch_when_workers_change import Connection

HOOKS = (("rpc", "*"),)


def made_links(members: Members) -> Links:
    return Links(
        members.me, MemoryBroker(), Counters(), channel_of=str, everyone="all", now=lambda: 0.0
    )


def made_dispatcher(members: Members, links: Links) -> Dispatcher:
    return Dispatcher(members, links, Counters(), patience_s=30.0, now=lambda: 0.0)


@pytest.mark.parametrize("what", ["messages", "hooks"])
def test_all_that_is_dispatched_goes_to_the_targets(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red where the dispatcher picks among all. Every second worker declares hooks."""
    sent: set[WorkerId] = set()
    members = Members(new_worker_id(), WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0)
    links = made_links(members)

    def send(peer: WorkerId, _envelope: Envelope) -> None:
        sent.add(peer)

    monkeypatch.setattr(links, "send", send)
    dispatcher = made_dispatcher(members, links)
    for number in range(80):
        hooks = HOOKS if number % 2 else ()
        members.arrived(new_worker_id(), WorkerInfo(True, True, hooks=hooks), now=0.0)
    for _ in range(400):
        state = dispatcher.open(Connection())
        if what == "messages":
            dispatcher.read(state, Event.MESSAGE, "hello", size_bytes=5)
        else:
            dispatcher.ask(state, HookRequest(HookKind.RPC, "name"))

    assert sent == set(members.targets if what == "messages" else members.hook_targets)
    assert len(sent) < 20


def test_first_messages_after_a_change_lay_a_ring_of_the_targets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of 15,000 that come in one turn of the loop too, with 1,000 workers: 512 points, some 0.1 ms.
    Red where the ring is one of all workers: sixty times as many; and where hooks, which all of
    them have, get another one.
    """
    laid: list[int] = []
    lay = HashRing._lay

    def counted(ring: HashRing, number: int) -> Ring:
        made = lay(ring, number)
        laid.append(len(made[0]))
        return made

    monkeypatch.setattr(HashRing, "_lay", counted)
    both = WorkerInfo(edge=True, handler=True, hooks=HOOKS)
    members = Members(new_worker_id(), both, lease_s=10.0, now=0.0)
    others = {new_worker_id(): (10_000, both) for _ in range(999)}
    members.renewed(Leases(0, others, ()), asked_at=0.0, now=0.0)
    links = made_links(members)
    monkeypatch.setattr(links, "send", lambda _peer, _envelope: None)
    dispatcher = made_dispatcher(members, links)
    states = [dispatcher.open(Connection()) for _ in range(4_000)]

    for state in states:
        dispatcher.read(state, Event.MESSAGE, "hello", size_bytes=5)
    for state in states[: len(states) // 2]:
        dispatcher.ask(state, HookRequest(HookKind.RPC, "name"))
    assert len(laid) == RINGS
    assert sum(laid) == RINGS * SUBSET

    before = members.targets
    while members.targets == before:
        members.arrived(new_worker_id(), both, now=0.0)
    laid.clear()
    for state in states:
        dispatcher.read(state, Event.MESSAGE, "hello", size_bytes=5)
    assert not laid  # those that are there follow the change
