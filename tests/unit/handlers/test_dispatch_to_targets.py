"""Which workers an edge among many dispatches to."""

from __future__ import annotations

import pytest

from gateway.broker.memory import MemoryBroker
from gateway.handlers.dispatcher import Dispatcher
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import Event
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.hooks import HookKind, HookRequest
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Members, WorkerInfo
from tests.support.ids import new_worker_id
from tests.unit.handlers.test_dispatch_when_workers_change import Connection

HOOKS = (("rpc", "*"),)


@pytest.mark.parametrize("what", ["messages", "hooks"])
def test_all_that_is_dispatched_goes_to_the_targets(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red where the dispatcher picks among all. Every second worker declares hooks."""
    sent: set[WorkerId] = set()
    members = Members(new_worker_id(), WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0)
    links = Links(
        members.me, MemoryBroker(), Counters(), channel_of=str, everyone="all", now=lambda: 0.0
    )

    def send(peer: WorkerId, _envelope: Envelope) -> None:
        sent.add(peer)

    monkeypatch.setattr(links, "send", send)
    dispatcher = Dispatcher(members, links, Counters(), patience_s=30.0, now=lambda: 0.0)
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
