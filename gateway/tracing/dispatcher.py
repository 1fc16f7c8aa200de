"""What an edge has handled, traced: from the event to its answer, and each dispatch of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind

from gateway.handlers.dispatch_state import Dispatchable, DispatchState
from gateway.handlers.dispatcher import Dispatcher
from gateway.handlers.queue import AnyDispatch
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelopes.dispatching import (
    Answer,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Failed,
)
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.traced import traced
from gateway.protocol.hooks import HookKind, HookRequest
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.tracing.attributes import ATTEMPT, BODY_BYTES, CONNECTION, TO_WORKER
from gateway.tracing.connections import ConnectionTraces
from gateway.tracing.tracing import ROOT, Tracing, being_current, carried, fail

_DISPATCHES: Final = (Dispatch, DispatchConnect, DispatchDisconnect, DispatchHook)


class _Waiting:
    """One event whose answer is waited for.

    Attributes:
        above: What it is a part of: its own span, or that of a handshake or a command.
        own: ``above`` ends with the answer.
        dispatch: The last attempt.
    """

    __slots__ = ("above", "dispatch", "name", "own")

    def __init__(self, name: str, above: Span, *, own: bool) -> None:
        self.name = name
        self.above = above
        self.own = own
        self.dispatch: Span | None = None

    def end_dispatch(self, error: str) -> None:
        """The last attempt, if there is one, has come to nothing; perhaps another follows."""
        if self.dispatch is not None:
            fail(self.dispatch, error)
            self.dispatch.end()
            self.dispatch = None

    def end(self, error: str | None = None) -> None:
        for span in (self.dispatch, self.above if self.own else None):
            if span is not None:
                if error is not None:
                    fail(span, error)
                span.end()


class TracedDispatcher(Dispatcher):
    """A ``Dispatcher`` that keeps a span for each event that is sampled and not answered yet."""

    def __init__(
        self, tracing: Tracing, traces: ConnectionTraces, *parts: Any, **options: Any
    ) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing
        self._traces = traces
        self._waiting: dict[ConnectionId, dict[int, _Waiting]] = {}
        self._plainly = self._send
        self._send = self._send_traced

    def open(self, dispatchable: Dispatchable) -> DispatchState:
        self._traces.handshaken(dispatchable.id, trace.get_current_span().get_span_context())
        return super().open(dispatchable)

    def close(self, state: DispatchState) -> None:
        connection = state.dispatchable.id
        try:
            super().close(state)
        finally:
            self._traces.closed(connection)
            for waiting in self._waiting.pop(connection, {}).values():
                waiting.end("abandoned")

    def read(  # noqa: PLR0917 (as Conversation.read)
        self,
        state: DispatchState,
        event: Event,
        text: str = "",
        size_bytes: int = 0,
        close_code: int = 0,
        attempt: int = 1,
    ) -> None:
        number = state.conversation.last_number + 1
        if event is Event.CONNECT:
            self._expect(state, "connect", trace.get_current_span(), own=False)
        elif event is Event.MESSAGE and (command := self._traces.command) is not None:
            self._expect(state, "message", command, own=False)
        else:
            self._begin(state, event.name.lower(), size_bytes)
        try:
            super().read(state, event, text, size_bytes, close_code, attempt)
        except BaseException as error:
            self._raised(state, number, error)
            raise

    def ask(self, state: DispatchState, hook: HookRequest) -> None:
        number = state.conversation.last_number + 1
        if hook.kind is HookKind.UNSUBSCRIBE:
            self._begin(state, hook.kind.value, hook.size_bytes)
        else:
            self._expect(state, hook.kind.value, trace.get_current_span(), own=False)
        try:
            super().ask(state, hook)
        except BaseException as error:
            self._raised(state, number, error)
            raise

    def settle(self, worker: WorkerId, answer: Answer) -> None:
        connection = answer.connection
        waiting = self._waiting.get(connection, {}).get(answer.number)
        state = self._states.get(connection)
        if waiting is None or state is None:
            super().settle(worker, answer)
            return
        why = answer.code if isinstance(answer, Failed) else None
        try:
            with being_current(waiting.above):  # what follows from the answer is a part of it
                super().settle(worker, answer)
        except BaseException as error:
            why = type(error).__name__
            raise
        finally:
            oldest = state.conversation.oldest
            if oldest is None or oldest.number > answer.number:
                self._end(connection, answer.number, why)

    def _not_taken(
        self, state: DispatchState, pending: Pending, worker: WorkerId, error: Exception
    ) -> None:
        self._end(state.dispatchable.id, pending.number, type(error).__name__)
        super()._not_taken(state, pending, worker, error)

    def give_up_waiting(
        self, *, away: bool = False, unreached: Collection[WorkerId] = ()
    ) -> list[ConnectionId]:
        try:
            return super().give_up_waiting(away=away, unreached=unreached)
        finally:
            self._end_all_missing()

    def worker_gone(self, worker: WorkerId) -> None:
        try:
            super().worker_gone(worker)
        finally:
            self._end_all_missing()

    def _begin(self, state: DispatchState, name: str, size_bytes: int) -> None:
        """A trace of its own, for what a client or its end has brought about.

        Linked to the handshake, and not a part of its trace: a socket may live for days.
        """
        connection = state.dispatchable.id
        span = self._tracing.start(
            name,
            SpanKind.SERVER if name == "message" else SpanKind.INTERNAL,
            ROOT,
            link=self._traces.handshake(connection),
            attributes={CONNECTION: connection, BODY_BYTES: size_bytes},
        )
        self._expect(state, name, span, own=True)

    def _expect(self, state: DispatchState, name: str, above: Span, *, own: bool) -> None:
        """Its number is the next of the conversation."""
        if above.is_recording():
            waiting = self._waiting.setdefault(state.dispatchable.id, {})
            waiting[state.conversation.last_number + 1] = _Waiting(name, above, own=own)

    def _end(self, connection: ConnectionId, number: int, error: str | None) -> None:
        events = self._waiting.get(connection, {})
        waiting = events.pop(number, None)
        if waiting is not None:
            waiting.end(error)
        if not events:
            self._waiting.pop(connection, None)

    def _raised(self, state: DispatchState, number: int, error: BaseException) -> None:
        """Taking an event has raised. What the conversation has all the same is still answered,
        given up or abandoned; the number of what it has not is given to the next one.
        """
        if state.conversation.last_number < number:
            self._end(state.dispatchable.id, number, type(error).__name__)

    def _end_all_missing(self) -> None:
        for connection in list(self._waiting):
            self._end_missing(connection)

    def _end_missing(self, connection: ConnectionId) -> None:
        """Those that were given up: answers come in order, and nothing else takes an event out."""
        state = self._states.get(connection)
        oldest = None if state is None else state.conversation.oldest
        for number in list(self._waiting.get(connection, {})):
            if oldest is None or number < oldest.number:
                self._end(connection, number, "unhandled")

    def _send_traced(self, target: WorkerId, envelope: Envelope) -> None:
        if not isinstance(envelope, _DISPATCHES):
            self._plainly(target, envelope)
            return
        try:
            self._plainly(target, self._dispatched(target, envelope))
        except BaseException as error:
            waiting = self._waiting.get(envelope.connection, {}).get(envelope.number)
            if waiting is not None:
                waiting.end_dispatch(type(error).__name__)
            raise

    def _dispatched(self, target: WorkerId, envelope: AnyDispatch) -> Envelope:
        waiting = self._waiting.get(envelope.connection, {}).get(envelope.number)
        if waiting is None:
            return envelope
        waiting.end_dispatch("worker gone")
        waiting.dispatch = self._tracing.start(
            f"dispatch {waiting.name}",
            SpanKind.PRODUCER,
            trace.set_span_in_context(waiting.above),
            attributes={
                CONNECTION: envelope.connection,
                TO_WORKER: target,
                ATTEMPT: envelope.attempt,
            },
        )
        info = self._members.known.get(target)
        if info is None or not info.traces or (told := carried(waiting.dispatch)) is None:
            return envelope
        return traced(envelope, told)
