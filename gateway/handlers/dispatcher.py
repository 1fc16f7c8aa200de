"""Handing a client's messages to the worker whose handlers shall run, and believing its answers.

The edge decides. It picks the handling worker of each of its connections, keeps what is unanswered,
and gives it to another worker only when that one is gone. Different views of the set of workers on
different edges are harmless: only its own edge dispatches a connection.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from gateway.handlers.dispatch_state import Dispatchable, DispatchState, Nobody
from gateway.handlers.hook_questions import log_fields
from gateway.log import get_logger
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelopes.dispatching import (
    Answer,
    Blocking,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Failed,
    Forget,
    Introduce,
)
from gateway.protocol.envelopes.hooks import DispatchHook, asking
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.hash_ring import HashRing
from gateway.protocol.hooks import HookKind, HookRequest
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.load import CROWDED_BYTES, EVENT_BYTES, Load
from gateway.protocol.members import Members

log = get_logger(__name__)

_MESSAGE: Final = Event.MESSAGE  # looked up once: for every message, it would be felt
# As ``Counters.dispatches`` counts what is answered, and what has failed.
_LOCAL: Final = ("local", "answered"), ("local", "failed")
_REMOTE: Final = ("remote", "answered"), ("remote", "failed")


class Dispatcher:
    """All states of one worker.

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
        self._crowded = links.crowded
        self._send: Callable[[WorkerId, Envelope], None] = links.send
        self._counters = counters
        self.patience_s = patience_s
        self._now = now
        self._ring, self._hook_ring = HashRing(), HashRing()
        self._states: dict[ConnectionId, DispatchState] = {}
        # Whom a worker knows. What is outstanding is always at whoever it was introduced to.
        self._introduced: defaultdict[WorkerId, dict[ConnectionId, DispatchState]]
        self._introduced = defaultdict(dict)
        self._blocked: dict[ConnectionId, DispatchState] = {}
        self._loads: defaultdict[WorkerId, Load] = defaultdict(Load)
        self._closed: dict[ConnectionId, DispatchState] = {}  # closed, and a worker is still at it

    def __len__(self) -> int:
        """How many dispatchables have a state."""
        return len(self._states)

    @property
    def unanswered(self) -> int:
        return sum(len(state.conversation) for state in self._states.values())

    def open(self, dispatchable: Dispatchable) -> DispatchState:
        state = DispatchState(dispatchable)
        self._states[dispatchable.id] = state
        return state

    def close(self, state: DispatchState) -> None:
        """The dispatchable wants nothing more; what it is still owed is dropped when it comes."""
        self._states.pop(state.dispatchable.id, None)
        self._blocked.pop(state.dispatchable.id, None)
        state.conversation.abandon()  # or whoever settles for it now would dispatch what waits
        if state.conversation.outstanding:
            self._closed[state.dispatchable.id] = state
        self._forget(state)
        state.dispatchable = Nobody(state.dispatchable.id)

    def read(  # noqa: PLR0917 (as Conversation.read)
        self,
        state: DispatchState,
        event: Event,
        text: str = "",
        size_bytes: int = 0,
        close_code: int = 0,
        attempt: int = 1,
    ) -> None:
        """Take the next event of a dispatchable and dispatch it as soon as it may be."""
        state.conversation.read(event, text, size_bytes, self._now(), close_code, attempt)
        self.pump(state)

    def ask(self, state: DispatchState, hook: HookRequest) -> None:
        """Take a question to a hook, or the end of a subscription, as the next event."""
        if not state.asks_hooks:
            state.asks_hooks = True
            state.generation = -1  # choose anew
        ended = hook.kind is HookKind.UNSUBSCRIBE
        state.conversation.read(
            Event.UNSUBSCRIBE if ended else Event.HOOK,
            "",
            size_bytes=hook.size_bytes,
            now=self._now(),
            hook=hook,
        )
        self.pump(state)

    def settle(self, worker: WorkerId, answer: Answer) -> None:
        """An answer of ``worker`` has come in. A stale one is dropped."""
        state = self._states.get(answer.connection)
        if state is None:
            self._settle_closed(worker, answer)
            return
        conversation, counters = state.conversation, self._counters
        pending = conversation.settle(worker, answer.number, answer.attempt)
        if pending is None:
            log.debug("stale answer", connection_id=answer.connection, from_worker=worker)
            return
        load = self._loads.get(worker)
        if load is not None and load.settle(pending.size_bytes):
            self.relieved(worker)
        paths = _LOCAL if worker == self._members.me else _REMOTE
        counters.dispatches[paths[isinstance(answer, Failed)]] += 1
        if (seconds := counters.answer_seconds).skip:
            seconds.skip -= 1
        else:
            self._measure(pending)
        try:
            state.dispatchable.answered(pending, answer, worker)
        except Exception as error:  # it has been taken out: the next ones go on
            self._not_taken(state, pending, worker, error)
        if conversation.waiting:
            self.pump(state)

    def _not_taken(
        self, state: DispatchState, pending: Pending, worker: WorkerId, error: Exception
    ) -> None:
        """A connection has failed at its answer, and is told as if there had been none."""
        self._counters.answers_not_taken += 1
        connection = state.dispatchable.id
        log.error("answer not taken", connection_id=connection, from_worker=worker, exc_info=error)
        self._tell_one_unhandled(state, pending)

    def _settle_closed(self, worker: WorkerId, answer: Answer) -> None:
        """An answer has come for one that has gone: its worker has that much less to do."""
        state = self._closed.get(answer.connection)
        if state is None:
            return
        pending = state.conversation.settle(worker, answer.number, answer.attempt)
        if not state.conversation.outstanding:
            del self._closed[answer.connection]
        if pending is None:
            return
        load = self._loads.get(worker)
        if load is not None and load.settle(pending.size_bytes):
            self.relieved(worker)

    def pump(self, state: DispatchState) -> None:
        """Dispatch what may be dispatched now."""
        conversation = state.conversation
        if state.generation != self._members.generation:
            self._choose(state)
        target, full = state.target, None
        if target is not None:
            load = self._loads[target]
            # As ``load.crowded``, which would be one call more for every message.
            if load.bytes_owed >= CROWDED_BYTES or load.refused or target in self._crowded:
                full = self._full(target, load, conversation.bytes_in_flight)
        released = conversation.release(target if full is None else None)
        if released and target is not None:
            if state.introduced_to != target:
                self._introduce(state, target)
            for pending in released:
                load.bytes_owed += pending.size_bytes + EVENT_BYTES
                if pending.event is _MESSAGE:
                    envelope = Dispatch(
                        state.dispatchable.id, pending.number, pending.attempt, pending.text
                    )
                    self._send(target, envelope)
                else:
                    self._send(target, _rare_envelope(state.dispatchable.id, pending))
        if conversation.waiting:
            self._wait(state, full)
        elif self._blocked and self._blocked.pop(state.dispatchable.id, None) is not None:
            state.waits_for = None

    def _wait(self, state: DispatchState, full: str | None) -> None:
        conversation = state.conversation
        others_first = conversation.outstanding and conversation.worker != state.target
        if conversation.held or others_first:
            full = None  # with room it would wait as well
        if full is not None and full != state.waits_for:
            self._counters.dispatch_waits[full] += 1  # once, however often it is tried again
        state.waits_for = full
        self._blocked[state.dispatchable.id] = state
        if spent := conversation.take_spent():
            self._give_up(state, spent)
            self.pump(state)

    # What happens to workers

    def worker_gone(self, worker: WorkerId) -> None:
        """``worker`` is dead, or has given up its link: what it owes is handed to others."""
        load = self._loads.pop(worker, None)
        closed = [state for state in self._closed.values() if state.conversation.worker == worker]
        for state in closed:
            del self._closed[state.dispatchable.id]
        known_there = list(self._introduced.pop(worker, {}).values())
        for state in known_there:  # first: what one's end brings about may come back to another
            state.introduced_to = None
        for state in known_there:
            try:
                self._move(state, worker)
            except Exception:
                log.exception("dispatch failed", connection_id=state.dispatchable.id)
        if load is not None and load.refused:
            self.relieved(worker)

    def _move(self, state: DispatchState, worker: WorkerId) -> None:
        """Hand to others what ``worker`` owes it."""
        moved, spent = state.conversation.take_back(worker)
        if moved:
            path = "local" if worker == self._members.me else "remote"
            self._counters.dispatches[path, "moved"] += moved
            self._give_up(state, spent)
            self.pump(state)

    def blame(self, worker: WorkerId, blocking: Blocking) -> None:
        """``worker`` is held up by this. If it is given up, nobody else is to be."""
        state = self._states.get(blocking.connection)
        if state is not None:
            state.conversation.blame(worker, blocking.number, blocking.attempt)

    def workers_changed(self) -> None:
        """Others may handle what waits."""
        self._pump_each(list(self._blocked.values()))

    def relieved(self, worker: WorkerId) -> None:
        """The link to ``worker``, or that worker itself, takes envelopes again."""
        self._pump_each([state for state in self._blocked.values() if state.target == worker])

    def _pump_each(self, states: Iterable[DispatchState]) -> None:
        """What fails of one is not to keep the others waiting, nor to end who tells of workers."""
        for state in states:
            try:
                self.pump(state)
            except Exception:
                log.exception("dispatch failed", connection_id=state.dispatchable.id)

    def give_up_waiting(
        self, *, away: bool = False, unreached: Collection[WorkerId] = ()
    ) -> list[ConnectionId]:
        """Called now and then: with nobody to handle them, messages wait only so long.

        Args:
            away: The broker has been for as long: what is outstanding may never be answered.
            unreached: To these it has been for as long.

        Returns:
            Connections that have waited too long for the broker: nothing but their end helps.
            Whoever waits for a decision has been told.
        """
        before = self._now() - self.patience_s
        for state in list(self._blocked.values()):
            if state.target is None:
                self._tell_unhandled(state, state.conversation.expire(before))
        late = []
        for state in list((self._states if away or unreached else self._blocked).values()):
            conversation = state.conversation
            oldest = conversation.oldest
            if oldest is None or oldest.since >= before:
                continue
            lost = away or (conversation.outstanding and conversation.worker in unreached)
            if not lost and state.dispatchable.id not in self._blocked:
                continue
            if oldest.event is Event.CONNECT:
                self._tell_unhandled(state, [oldest])
            elif lost or conversation.held:
                late.append(state.dispatchable.id)
        return late

    def _full(self, target: WorkerId, load: Load, owed_bytes: int) -> str | None:
        """What has no room for more of somebody who has so much there; ``relieved`` comes then."""
        if not load.takes(owed_bytes):
            load.refused = True
            return "worker"
        if not self._links.takes(target, owed_bytes):
            self._links.await_room(target, owed_bytes)
            return "link"
        return None

    def _give_up(self, state: DispatchState, spent: Sequence[Pending]) -> None:
        for pending in spent:
            hook = pending.hook
            log.error(
                "message given up",
                connection_id=state.dispatchable.id,
                event_kind=pending.event.name,
                **({} if hook is None else log_fields(hook.kind.value, hook.name)),
            )
        self._tell_unhandled(state, spent)

    def _tell_unhandled(self, state: DispatchState, unhandled: Iterable[Pending]) -> None:
        for pending in unhandled:
            self._measure(pending)
            self._tell_one_unhandled(state, pending)

    def _tell_one_unhandled(self, state: DispatchState, pending: Pending) -> None:
        try:
            state.dispatchable.unhandled(pending)
        except Exception:  # the others are to hear of theirs
            log.exception("dispatch failed", connection_id=state.dispatchable.id)

    def _measure(self, pending: Pending) -> None:
        """Note how long a message took from its socket to its end here."""
        if pending.event is not _MESSAGE:
            return
        self._counters.answer_seconds.observe(self._now() - pending.since)

    def _choose(self, state: DispatchState) -> None:
        state.generation = self._members.generation
        ring, workers = self._ring, self._members.targets
        if state.asks_hooks and workers is not self._members.hook_targets:
            ring, workers = self._hook_ring, self._members.hook_targets
        state.target = ring.pick(state.dispatchable.id, workers)

    def introduce_again(self, state: DispatchState) -> None:
        """Its facts have changed: tell the worker that knows them, if there is one."""
        if state.introduced_to is not None:
            facts = state.dispatchable.facts
            self._send(state.introduced_to, Introduce(state.dispatchable.id, facts))

    def _introduce(self, state: DispatchState, target: WorkerId) -> None:
        self._forget(state)
        state.introduced_to = target
        self._introduced[target][state.dispatchable.id] = state
        self._send(target, Introduce(state.dispatchable.id, state.dispatchable.facts))

    def _forget(self, state: DispatchState) -> None:
        if state.introduced_to is not None:
            self._send(state.introduced_to, Forget(state.dispatchable.id))
            self._introduced[state.introduced_to].pop(state.dispatchable.id, None)


def _rare_envelope(
    connection: ConnectionId, pending: Pending
) -> DispatchConnect | DispatchDisconnect | DispatchHook:
    """Of anything but a message."""
    match pending.event:
        case Event.CONNECT:
            return DispatchConnect(connection, pending.number, pending.attempt)
        case Event.DISCONNECT:
            return DispatchDisconnect(
                connection, pending.number, pending.attempt, pending.close_code, pending.text
            )
        case _:
            assert pending.hook is not None
            return asking(connection, pending.number, pending.attempt, pending.hook)
