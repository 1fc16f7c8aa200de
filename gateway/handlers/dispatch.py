"""Handing a client's messages to the worker whose handlers shall run, and believing its answers.

The edge decides. It picks the handling worker of each of its connections, keeps what is unanswered,
and gives it to another worker only when that one is gone. Different views of the set of workers on
different edges are harmless: only its own edge dispatches a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from gateway.log import get_logger
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import Conversation, Event, Pending
from gateway.protocol.envelope import (
    Answer,
    Blocking,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Facts,
    Failed,
    Forget,
    Introduce,
)
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.load import Load
from gateway.protocol.members import Members
from gateway.protocol.rendezvous import pick

log = get_logger(__name__)

_NOTHING: Final = Facts(None, "", "", (), (), None)


class Party(Protocol):
    """Whoever has something handled: a connection, or what a sweep found of one."""

    @property
    def id(self) -> ConnectionId: ...

    @property
    def facts(self) -> Facts: ...

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        """The oldest unanswered event has its answer."""
        ...

    def unhandled(self, pending: Pending) -> None:
        """An event has had its last attempt, or nobody came to handle it in time."""
        ...


@dataclass(frozen=True, slots=True)
class _Nobody:
    """In the place of a party that has closed its desk: the two would keep each other."""

    id: ConnectionId
    facts: Facts = _NOTHING

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        pass

    def unhandled(self, pending: Pending) -> None:
        pass


class Desk:
    """The dispatcher's notes on one party. The party holds it and hands it in with every call."""

    __slots__ = ("conversation", "generation", "introduced_to", "party", "target")

    def __init__(self, party: Party) -> None:
        self.party = party
        self.conversation = Conversation()
        self.target: WorkerId | None = None
        self.generation = -1
        self.introduced_to: WorkerId | None = None


class Dispatcher:
    """All desks of one worker.

    Args:
        patience_s: What waits longer than this while no handler worker lives is unhandled.

    Attributes:
        patience_s: The same.
    """

    def __init__(
        self,
        members: Members,
        links: Links,
        counters: Counters,
        *,
        patience_s: float,
        now: Callable[[], float],
    ) -> None:
        self._members = members
        self._links = links
        self._counters = counters
        self.patience_s = patience_s
        self._now = now
        self._desks: dict[ConnectionId, Desk] = {}
        self._blocked: dict[ConnectionId, Desk] = {}
        self._loads: dict[WorkerId, Load] = {}
        self._parted: dict[ConnectionId, Desk] = {}  # of closed ones whose worker is still at it

    def __len__(self) -> int:
        """How many parties have a desk."""
        return len(self._desks)

    @property
    def unanswered(self) -> int:
        return sum(len(desk.conversation) for desk in self._desks.values())

    def open(self, party: Party) -> Desk:
        desk = Desk(party)
        self._desks[party.id] = desk
        return desk

    def close(self, desk: Desk) -> None:
        """The party wants nothing more; what it is still owed is dropped when it comes."""
        self._desks.pop(desk.party.id, None)
        self._blocked.pop(desk.party.id, None)
        desk.conversation.abandon()  # or whoever settles for it now would dispatch what waits
        if desk.conversation.outstanding:
            self._parted[desk.party.id] = desk
        if desk.introduced_to is not None:
            self._links.send(desk.introduced_to, Forget(desk.party.id))
        desk.party = _Nobody(desk.party.id)

    def read(
        self,
        desk: Desk,
        event: Event,
        text: str = "",
        *,
        size_bytes: int = 0,
        close_code: int = 0,
        attempt: int = 1,
    ) -> None:
        """Take the next event of a party and dispatch it as soon as it may be."""
        desk.conversation.read(
            event,
            text,
            size_bytes=size_bytes,
            now=self._now(),
            close_code=close_code,
            attempt=attempt,
        )
        self.pump(desk)

    def settle(self, desk: Desk, worker: WorkerId, answer: Answer) -> None:
        """An answer has come in for this party. A stale one is dropped."""
        pending = desk.conversation.settle(worker, answer.number, answer.attempt)
        if pending is None:
            log.debug("stale answer", connection_id=desk.party.id, from_worker=worker)
            return
        self._unload(worker, pending)
        outcome = "failed" if isinstance(answer, Failed) else "answered"
        self._counters.dispatches[self._path(worker), outcome] += 1
        if (seconds := self._counters.answer_seconds).skip:
            seconds.skip -= 1
        else:
            self._measure(pending)
        desk.party.answered(pending, answer, worker)
        if desk.conversation.waiting:
            self.pump(desk)

    def settle_parted(self, worker: WorkerId, answer: Answer) -> None:
        """An answer has come in for a party that has gone: its worker has that much less to do."""
        desk = self._parted.get(answer.connection)
        if desk is None:
            return
        pending = desk.conversation.settle(worker, answer.number, answer.attempt)
        if not desk.conversation.outstanding:
            del self._parted[answer.connection]
        if pending is not None:
            self._unload(worker, pending)

    def pump(self, desk: Desk) -> None:
        """Dispatch what may be dispatched now."""
        conversation = desk.conversation
        target = self._target(desk)
        if target is not None and not self._takes(target, conversation.bytes_in_flight):
            target = None
        released = conversation.release(target)
        if released and target is not None:
            if desk.introduced_to != target:
                self._introduce(desk, target)
            load = self._loads[target]
            for pending in released:
                load.add(pending.size_bytes)
                self._links.send(target, _envelope(desk.party.id, pending))
        if conversation.waiting:
            self._blocked[desk.party.id] = desk
            if spent := conversation.take_spent():
                self._give_up(desk, spent)
                self.pump(desk)
        else:
            self._blocked.pop(desk.party.id, None)

    # What happens to workers

    def worker_gone(self, worker: WorkerId) -> None:
        """``worker`` is dead, or has given up its link: what it owes is handed to others."""
        load = self._loads.pop(worker, None)
        parted = [desk for desk in self._parted.values() if desk.conversation.worker == worker]
        for desk in parted:
            del self._parted[desk.party.id]
        for desk in list(self._desks.values()):
            if desk.introduced_to == worker:
                desk.introduced_to = None
            moved, spent = desk.conversation.take_back(worker)
            if moved:
                self._counters.dispatches[self._path(worker), "moved"] += moved
                self._give_up(desk, spent)
                self.pump(desk)
        if load is not None and load.refused:
            self.relieved(worker)

    def blame(self, worker: WorkerId, blocking: Blocking) -> None:
        """``worker`` is held up by this. If it is given up, nobody else is to be."""
        desk = self._desks.get(blocking.connection)
        if desk is not None:
            desk.conversation.blame(worker, blocking.number, blocking.attempt)

    def workers_changed(self) -> None:
        """Others may handle what waits."""
        for desk in list(self._blocked.values()):
            self.pump(desk)

    def relieved(self, worker: WorkerId) -> None:
        """The link to ``worker``, or that worker itself, takes envelopes again."""
        for desk in list(self._blocked.values()):
            if desk.target == worker:
                self.pump(desk)

    def give_up_waiting(self, *, away: bool = False) -> list[ConnectionId]:
        """Called now and then: with nobody to handle them, messages wait only so long.

        Args:
            away: The broker has been for as long: what is outstanding may never be answered.

        Returns:
            Parties that have waited too long for the broker: nothing but their end helps. Whoever
            waits for a decision has been told.
        """
        before = self._now() - self.patience_s
        if not self._members.handlers:
            for desk in list(self._blocked.values()):
                for pending in desk.conversation.expire(before):
                    self._measure(pending)
                    desk.party.unhandled(pending)
        late = []
        for desk in list((self._desks if away else self._blocked).values()):
            oldest = desk.conversation.oldest
            if oldest is None or oldest.since >= before:
                continue
            if oldest.event is Event.CONNECT:
                desk.party.unhandled(oldest)
            elif away or desk.conversation.held:
                late.append(desk.party.id)
        return late

    def _takes(self, target: WorkerId, owed_bytes: int) -> bool:
        load = self._loads.get(target)
        if load is None:
            load = self._loads[target] = Load()
        return load.takes(owed_bytes) and self._links.takes(target, owed_bytes)

    def _unload(self, worker: WorkerId, pending: Pending) -> None:
        load = self._loads.get(worker)
        if load is not None and load.settle(pending.size_bytes):
            self.relieved(worker)

    def _give_up(self, desk: Desk, spent: Iterable[Pending]) -> None:
        for pending in spent:
            log.error(
                "message given up", connection_id=desk.party.id, event_kind=pending.event.name
            )
            self._measure(pending)
            desk.party.unhandled(pending)

    def _measure(self, pending: Pending) -> None:
        """Note how long a message took from its socket to its end here."""
        if pending.event is not Event.MESSAGE:
            return
        self._counters.answer_seconds.observe(self._now() - pending.since)

    def _target(self, desk: Desk) -> WorkerId | None:
        if desk.generation != self._members.generation:
            desk.generation = self._members.generation
            desk.target = pick(desk.party.id, self._members.handlers)
        return desk.target

    def _introduce(self, desk: Desk, target: WorkerId) -> None:
        if desk.introduced_to is not None:
            self._links.send(desk.introduced_to, Forget(desk.party.id))
        desk.introduced_to = target
        self._links.send(target, Introduce(desk.party.id, desk.party.facts))

    def _path(self, worker: WorkerId) -> str:
        return "local" if worker == self._members.me else "remote"


def _envelope(
    connection: ConnectionId, pending: Pending
) -> Dispatch | DispatchConnect | DispatchDisconnect:
    match pending.event:
        case Event.MESSAGE:
            return Dispatch(connection, pending.number, pending.attempt, pending.text)
        case Event.CONNECT:
            return DispatchConnect(connection, pending.number, pending.attempt)
        case Event.DISCONNECT:
            return DispatchDisconnect(
                connection, pending.number, pending.attempt, pending.close_code, pending.text
            )
