"""One connection, a client socket: its messages going out, its answers coming back, and its end.

What is said on it, and in which words, is its session's: ``gateway.edge.sessions``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Final

from gateway.close_codes import DRAINED, EXPIRED, INTERNAL_ERROR, too_big
from gateway.edge.client_info import MAX_PRESENTED_BYTES, ClientInfo
from gateway.edge.connection_context import ConnectionContext, ConnectionState
from gateway.edge.hook_calls import HookCalls
from gateway.edge.opening import Opening
from gateway.edge.sending import SENDS, Sending
from gateway.edge.sessions.base import Session
from gateway.edge.sockets.socket import Socket
from gateway.errors import (
    ConnectionEnding,
    HandlerFailed,
    RateExceeded,
)
from gateway.handlers.dispatch_state import DispatchState
from gateway.log import get_logger
from gateway.messaging.hub import Done
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelopes.dispatching import (
    Answer,
    ConnectionFacts,
    Failed,
    Presented,
    Rejected,
    Reply,
)
from gateway.protocol.envelopes.requests_to_owners import Particulars
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.rate import Rate
from gateway.protocol.receipt import Receipt

log = get_logger(__name__)

# Looked up once: for every message, it would be felt.
_MESSAGE: Final = Event.MESSAGE
_DISCONNECT: Final = Event.DISCONNECT
_OPEN: Final = ConnectionState.OPEN
_DRAINING: Final = ConnectionState.DRAINING
EXPIRY_GRACE_S: Final = 5.0  # for what was read before the time was over


class ClientConnection(Sending):
    """A ``LocalConnection``, a ``Dispatchable``, the ``Listener`` of its socket, and the
    ``OpenConnection`` of its session.
    """

    __slots__ = (
        "_accepted", "_client", "_dispatch_state", "_hooks", "_parting", "_rate", "_unread",
        "ended", "reading",
    )  # fmt: skip

    def __init__(
        self,
        edge: ConnectionContext,
        connection: ConnectionId,
        client_info: ClientInfo,
        *,
        session: Session,
        socket: Socket,
        dispatch_state: DispatchState,
        ended: asyncio.Future[None],
    ) -> None:
        super().__init__(edge, session, socket)
        self.id = connection
        self.ended = ended
        self._client = client_info
        self._accepted = True  # the application knows it as open
        self._parting: tuple[int, str] = DRAINED
        self.reading = True
        self._hooks: HookCalls | None = None  # once one is asked
        per_second = edge.limits.messages_per_second
        self._rate = Rate(per_second, now=edge.now()) if per_second else None
        self._dispatch_state = dispatch_state
        self._unread = dispatch_state.conversation.last_number  # numbers that were no messages
        dispatch_state.dispatchable = self
        edge.hub.add(self)
        edge.opened(connection)

    @property
    def facts(self) -> ConnectionFacts:
        return self._client.facts

    def open(self, channels: Collection[str]) -> None:
        """Begin to read. Nothing is handled before the registry has it, and it has these channels
        too.
        """
        opening = Opening(self, channels, self._opened)
        self._dispatch_state.conversation.held = True
        entry = self._client.entry(self._session.name)
        self._edge.registration.put(self.id, entry, opening.registered)
        greeting = self._session.greeting(self)
        if greeting is not None:
            self.send(greeting)
        self._socket.start(self, farewell=self._session.farewell, pings=self._session.pings)
        opening.subscribe(self._session, channels)

    def reject(self, rejected: Rejected) -> None:
        """It was accepted only to say that the application refuses it."""
        self._state = ConnectionState.CLOSING
        # And expired: ``on_connect`` may have counted it in.
        self._accepted = self._client.admitted
        self._socket.start(self, farewell=self._session.farewell)
        self._socket.close(rejected.code, rejected.reason)

    # Listener

    def on_text(self, text: str) -> None:
        if self._state is not _OPEN:
            return
        edge = self._edge
        edge.counters.received += 1
        now = self._active_at = edge.now()
        if self._rate is not None and not self._rate.allow(now, self._session.messages_in(text)):
            self.end_with(RateExceeded())
            return
        size = len(text) if text.isascii() else len(text.encode())
        if size > edge.limits.message_bytes:
            self.close(*too_big(edge.limits.message_bytes))
            return
        self._session.on_text(self, text, size)

    def on_binary(self) -> None:
        if self._state is ConnectionState.OPEN:
            self._session.on_binary(self)

    def on_close(self, code: int, reason: str) -> None:
        if self._state is ConnectionState.CLOSED:
            return
        self._state = ConnectionState.CLOSED
        edge = self._edge
        edge.closed(self.id, code, reason)
        conversation = self._dispatch_state.conversation
        conversation.abandon()
        self._session.on_close(code, reason)
        self._hooks = None  # the two would keep each other
        edge.channels.closed(self.id)
        self._outbox.discard()
        if self._accepted and (edge.wants_disconnects() or conversation.owes_ends):
            edge.dispatch_disconnect(self._dispatch_state, code, reason)
        else:
            edge.forget(self.id, self._dispatch_state)
        if not self.ended.done():
            self.ended.set_result(None)

    # OpenConnection

    def identify(self, user: str | None, presented: Presented) -> None:
        if sum(map(len, presented)) > MAX_PRESENTED_BYTES:
            self.close(*too_big(MAX_PRESENTED_BYTES))
            return
        self._client.become(user, presented)
        entry = self._client.entry(self._session.name)
        self._edge.changed(self.id, entry, self._dispatch_state)

    @property
    def address(self) -> str:
        return self._client.address

    @property
    def user(self) -> str | None:
        return self._client.user

    @property
    def admitted(self) -> bool:
        return self._client.admitted

    def progressed(self) -> None:
        if self._state is ConnectionState.DRAINING:
            self._close_if_drained()
        elif self._state is ConnectionState.OPEN:
            if self._session.full or self._dispatch_state.conversation.full:
                self._stop_reading()
            self._read_on()

    @property
    def wants_messages(self) -> bool:
        return self._edge.wants_messages()

    def dispatch(self, text: str, size_bytes: int) -> None:
        if self._state not in SENDS:
            return
        state = self._dispatch_state
        self._edge.dispatcher.read(state, _MESSAGE, text, size_bytes)
        if state.conversation.full:
            self._stop_reading()

    @property
    def hooks(self) -> HookCalls:
        if self._hooks is None:
            self._hooks = HookCalls(self, self._edge, self._dispatch_state)
        return self._hooks

    def close(self, code: int, reason: str) -> None:
        """Say goodbye and begin the closing handshake. What is unanswered stays so."""
        if self._state not in SENDS:
            return
        goodbye = self._session.goodbye(code, reason)
        if goodbye is not None:
            self._collect(goodbye)
        self.flush()
        if self._may_close():
            self._state = ConnectionState.CLOSING
            self._socket.close(code, reason)

    def end_with(self, ending: ConnectionEnding) -> None:
        self.close(ending.close_code, ending.reason)

    def _may_close(self) -> bool:
        """Flushing may have found a slow socket and dropped it."""
        return self._state is not ConnectionState.CLOSED

    # LocalConnection

    def disconnect(self, code: int, reason: str) -> Receipt:
        if (taking := self.taking) is not Receipt.WRITTEN:
            return taking
        self.close(code, reason)
        return Receipt.WRITTEN if self._state is ConnectionState.CLOSING else Receipt.GONE

    def subscribe(self, channel: str, done: Done) -> None:
        if (taking := self.taking) is Receipt.WRITTEN:
            self._session.subscribe(self, channel, done)
        else:
            done(taking)

    def unsubscribe(self, channel: str, done: Done) -> None:
        if (taking := self.taking) is Receipt.WRITTEN:
            self._session.unsubscribe(self, channel, done)
        else:
            done(taking)

    def particulars(self) -> Particulars:
        sent, active_at = self._sent()
        return self._client.particulars(
            self._dispatch_state,
            unread=self._unread,
            received=self._session.received,
            idle_s=self._edge.now() - active_at,
            waiting_bytes=self._outbox.bytes_waiting + self._socket.buffered_bytes,
            sent=sent,
            ping_unanswered_s=self._socket.ping_unanswered_s,
            channels=self._edge.channels.channels_of(self.id),
        )

    # Dispatchable

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        if pending.event is _DISCONNECT:
            self._edge.forget(self.id, self._dispatch_state)
        elif self._state in SENDS:
            if pending.hook is not None:
                self.hooks.answered(pending.number, answer)
            elif isinstance(answer, Reply):
                payload = self._session.reply(
                    answer.text, handled_by=handled_by, attempt=answer.attempt
                )
                if payload is not None:
                    self._collect(payload)
            elif isinstance(answer, Failed):
                self._failed()
            if not self.reading or self._state is _DRAINING:
                self._after_answer()

    def unhandled(self, pending: Pending) -> None:
        if pending.event is Event.DISCONNECT:
            self._edge.given_up(self.id)
            self._edge.forget(self.id, self._dispatch_state)
        elif self._state in SENDS:
            try:
                self._tell_unhandled(pending)
            except Exception:
                self.close(*INTERNAL_ERROR)  # or its client waits for ever
                raise
            self._after_answer()

    def _tell_unhandled(self, pending: Pending) -> None:
        if pending.hook is not None:
            self.hooks.answered(pending.number, None)
        else:
            self._failed()

    def _failed(self) -> None:
        error = HandlerFailed()
        payload = self._session.failed(error)
        if payload is not None:
            self._collect(payload)
        else:
            self.end_with(error)

    # The end

    def drain(self, parting: tuple[int, str] = DRAINED) -> None:
        """Read no more, finish what is outstanding, then close with 3001, or as said."""
        if self._state is not ConnectionState.OPEN:
            return
        self._state = ConnectionState.DRAINING
        self._parting = parting
        self._stop_reading()
        self._close_if_drained()

    def close_drained(self) -> None:
        self.close(*DRAINED)

    def drop(self) -> None:
        """End it now, whatever the client does."""
        if not self.ended.done():
            self._socket.abort()

    def check_progress(self, now: float) -> int:
        """Drop the socket if nothing of what waits has left it for too long; end it on time.

        Returns:
            How many bytes wait.
        """
        if self._state is ConnectionState.CLOSED:
            return 0
        if self._client.expires_unix_s is not None:
            self._check_expiry()
        return self._check_taken(now)

    def _check_expiry(self) -> None:
        late_s = self._client.late_s()
        if late_s >= EXPIRY_GRACE_S:
            self.close(*EXPIRED)
        elif late_s >= 0:
            self.drain(EXPIRED)

    def _after_answer(self) -> None:
        if self._state is ConnectionState.DRAINING:
            self._close_if_drained()
        else:
            self._read_on()

    def _stop_reading(self) -> None:
        if self.reading:
            self.reading = False
            self._socket.pause_reading()

    def _read_on(self) -> None:
        if self.reading or self._dispatch_state.conversation.full:
            return
        self._session.go_on()
        if self._session.full:
            return
        self.reading = True
        self._socket.resume_reading()

    def _close_if_drained(self) -> None:
        if self._session.idle and not len(self._dispatch_state.conversation):
            self.close(*self._parting)
        elif not self._dispatch_state.conversation.full:
            self._session.go_on()

    def _opened(self) -> None:
        self._dispatch_state.conversation.held = False
        self._edge.dispatcher.pump(self._dispatch_state)
        if self._state is ConnectionState.OPEN:
            self._read_on()
