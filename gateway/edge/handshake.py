"""One handshake before the 101: the application may be asked whether to let the client in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.close_codes import EXPIRED, LOST
from gateway.edge.admission import NOT_READY
from gateway.edge.client_info import ClientInfo
from gateway.edge.connection import ClientConnection
from gateway.edge.connection_context import ConnectionContext
from gateway.edge.early_channels import EarlyChannels
from gateway.edge.refusal import Refusal
from gateway.edge.sessions.base import Session
from gateway.edge.sockets.socket import Socket
from gateway.handlers.dispatch_state import DispatchState
from gateway.messaging.hub import Done
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelopes.dispatching import Admitted, Answer, ConnectionFacts, Rejected
from gateway.protocol.envelopes.requests_to_owners import Particulars
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt


class Handshake:
    """A ``LocalConnection`` and a ``Dispatchable``, until a ``ClientConnection`` takes its place.

    Ends with ``accepted`` or with ``discard``.

    Attributes:
        ended: Done when it came to nothing, or when the connection that came of it has ended.
    """

    __slots__ = (
        "_client", "_decision", "_discarded", "_dispatch_state", "_early", "_edge", "ended", "id",
    )  # fmt: skip

    def __init__(
        self, edge: ConnectionContext, connection: ConnectionId, client_info: ClientInfo
    ) -> None:
        self.id = connection
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._edge = edge
        self._client = client_info
        self._discarded = False
        self._decision: asyncio.Future[Answer | None] | None = None
        self._early: EarlyChannels | None = None
        self._dispatch_state: DispatchState = edge.dispatcher.open(self)
        edge.hub.add(self)

    @property
    def facts(self) -> ConnectionFacts:
        return self._client.facts

    async def decide(self) -> Answer | None:
        """Ask the application whether to open this connection.

        Returns:
            ``Admitted``, ``Rejected``, ``Failed``, or None when nobody came to decide.
        """
        self._decision = asyncio.get_running_loop().create_future()
        size = self._client.size_bytes
        self._edge.dispatcher.read(self._dispatch_state, Event.CONNECT, size_bytes=size)
        answer = await self._decision
        if isinstance(answer, Admitted) and self._client.late_s() >= 0:
            return Rejected(self.id, answer.number, answer.attempt, *EXPIRED)
        return answer

    async def enter_channels(self, session: Session) -> Refusal | None:
        """Have it in the application's channels before it is accepted, where its client need not
        say anything first. None: it is, or it comes into them later.
        """
        channels = self._client.channels
        if not channels or session.early is None:
            return None
        held_bytes = self._edge.limits.outbox_bytes
        self._early = EarlyChannels(self.id, self._client.user, held_bytes=held_bytes)
        return await self._early.subscribe(session.early, channels)

    def accepted(self, session: Session, socket: Socket) -> ClientConnection:
        """The 101 has been sent: what comes of it, neither opened nor rejected yet."""
        return ClientConnection(
            self._edge,
            self.id,
            self._client,
            session=session,
            socket=socket,
            dispatch_state=self._dispatch_state,
            ended=self.ended,
        )

    def open(self, session: Session, connection: ClientConnection) -> None:
        """Open the connection that has come of it."""
        if self._early is None or session.early is None:
            connection.open(self._client.channels)
            return
        connection.open(())
        self._early.hand_over(session.early, connection)

    def discard(self) -> None:
        """It came to nothing: this connection never was.

        Whom the application has let in, or lets in later, it is told to let out again: it may keep
        a list.
        """
        self._discarded = True
        self._edge.channels.closed(self.id)
        if not self._dispatch_state.conversation.outstanding:
            self._let_out()
        if not self.ended.done():  # a drain may wait for it
            self.ended.set_result(None)

    def send_elsewhere(self) -> None:
        """This worker leaves: the handshake waits for nothing any more."""
        if not self._discarded:
            self._decide(None)
            if self._early is not None:
                self._early.end(NOT_READY)

    @property
    def discarded(self) -> bool:
        """It came to nothing while the application decides."""
        return self._discarded

    # Dispatchable

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:  # noqa: ARG002
        if pending.event is Event.CONNECT:
            self._decide(answer)
        else:
            self._edge.forget(self.id, self._dispatch_state)

    def unhandled(self, pending: Pending) -> None:
        if pending.event is Event.CONNECT:
            self._decide(None)
        else:
            self._edge.given_up(self.id)
            self._edge.forget(self.id, self._dispatch_state)

    def _decide(self, answer: Answer | None) -> None:
        if isinstance(answer, Admitted):  # here: whoever waits for it may be cancelled meanwhile
            self._client.admit(answer)
        if self._discarded:
            self._let_out()
        elif self._decision is not None and not self._decision.done():
            self._decision.set_result(answer)

    def _let_out(self) -> None:
        if self._client.admitted and self._edge.wants_disconnects():
            self._edge.dispatch_disconnect(
                self._dispatch_state, LOST.code, "left during the handshake"
            )
        else:
            self._edge.forget(self.id, self._dispatch_state)

    # LocalConnection

    @property
    def taking(self) -> Receipt:
        return Receipt.GONE if self._discarded else Receipt.UNREACHABLE

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:  # noqa: ARG002
        done(self.taking)

    def disconnect(self, code: int, reason: str) -> Receipt:  # noqa: ARG002
        return self.taking

    def subscribe(self, channel: str, done: Done) -> None:  # noqa: ARG002
        done(self.taking)

    def unsubscribe(self, channel: str, done: Done) -> None:  # noqa: ARG002
        done(self.taking)

    def particulars(self) -> Particulars | None:
        return None
