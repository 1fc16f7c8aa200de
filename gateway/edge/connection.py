"""One client socket: its messages on their way out, its answers on their way back, and its end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

import structlog
from starlette.datastructures import Headers

from gateway.dispatch import Desk, Dispatcher
from gateway.edge.socket import Socket
from gateway.errors import (
    BinaryMessage,
    ConnectionEnding,
    HandlerFailed,
    RateExceeded,
    SlowConsumer,
)
from gateway.hub import Hub
from gateway.metrics import Counters
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelope import Admitted, Answer, Facts, Failed, Reply, Turned
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.rate import Rate
from gateway.protocol.text import GOODBYE, Codec
from gateway.registration import Registration
from gateway.registry.base import Entry

log = structlog.stdlib.get_logger(__name__)

NORMAL: Final = 1000
LOST: Final = 1006
TOO_BIG: Final = 1009
DRAINED: Final = (3001, "drain")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The bounds on one connection. None is no bound."""

    message_bytes: int
    messages_per_second: int | None
    outbox_bytes: int
    stall_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """What the connections of one worker share."""

    hub: Hub
    dispatcher: Dispatcher
    registration: Registration
    counters: Counters
    limits: ConnectionLimits
    wants_disconnects: Callable[[], bool]
    now: Callable[[], float]


class _State(Enum):
    DECIDING = auto()  # before the 101: the application may still refuse
    OPEN = auto()
    DRAINING = auto()  # not read any more; closes once everything is answered
    CLOSING = auto()  # a close frame is under way
    CLOSED = auto()


class ClientConnection:
    """A ``Member`` of the hub, a ``Party`` of the dispatcher and the ``Listener`` of its socket."""

    __slots__ = (
        "_accepted", "_address", "_admitted", "_codec", "_decision", "_desk", "_edge", "_head",
        "_payloads", "_progress_at", "_query", "_rate", "_reading", "_since_unix_ms", "_socket",
        "_state", "_subprotocols", "_taken_bytes", "_unflushed_bytes", "_user", "ended", "id",
    )  # fmt: skip

    def __init__(
        self,
        edge: Edge,
        connection: ConnectionId,
        *,
        address: str,
        headers: Headers,
        query: str,
        subprotocols: tuple[str, ...],
        codec: Codec,
    ) -> None:
        self.id = connection
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._edge = edge
        self._address = address
        # Kept for every worker this connection will be introduced to, and in one piece: a browser's
        # headers as pairs of strings are 3 KB.
        self._head = b"\n".join(b":".join(pair) for pair in headers.raw)
        self._query = query
        self._subprotocols = subprotocols
        self._codec = codec
        self._user: str | None = None
        self._since_unix_ms = int(time.time() * 1000)
        self._state = _State.DECIDING
        self._socket: Socket | None = None
        self._reading = True
        self._payloads: list[bytes] = []
        self._admitted = False  # by the application's own decision
        self._accepted = False  # the application knows it as open
        self._unflushed_bytes = 0
        self._progress_at = 0.0
        self._taken_bytes = 0  # of what was written, what the kernel had taken when last looked
        per_second = edge.limits.messages_per_second
        self._rate = Rate(per_second, now=edge.now()) if per_second else None
        self._decision: asyncio.Future[Answer | None] | None = None
        self._desk: Desk = edge.dispatcher.open(self)
        edge.hub.add(self)

    @property
    def facts(self) -> Facts:
        lines = self._head.decode("latin-1").split("\n") if self._head else ()
        pairs = (line.partition(":") for line in lines)
        headers = tuple((name, value) for name, _, value in pairs)
        return Facts(self._user, self._address, self._query, headers, self._subprotocols)

    # Before the 101

    async def decide(self) -> Answer | None:
        """Ask the application whether to open this connection.

        Returns:
            ``Admitted``, ``Turned``, ``Failed``, or None when nobody came to decide.
        """
        self._decision = asyncio.get_running_loop().create_future()
        self._edge.dispatcher.read(self._desk, Event.CONNECT)
        answer = await self._decision
        if isinstance(answer, Admitted):
            self._admitted = True
            self._user = answer.user
        return answer

    def discard(self) -> None:
        """The handshake came to nothing: this connection never was.

        Whom the application has let in, it is told to let out again: it may keep a list.
        """
        if self._admitted and self._edge.wants_disconnects():
            self._say_goodbye(LOST, "left during the handshake")
        else:
            self._leave()

    def begin(self, socket: Socket, turned: Turned | None) -> None:
        """The handshake is accepted. ``turned``: only to say that the application refuses."""
        self._socket = socket
        self._edge.counters.opened += 1
        self._progress_at = self._edge.now()
        if turned is not None:
            self._state = _State.CLOSING
            socket.start(self, farewell=(NORMAL, GOODBYE))
            socket.close(turned.code, turned.reason)
            return
        self._state = _State.OPEN
        self._accepted = True
        self._desk.conversation.held = True  # until the registry knows of it
        agent = next((value for name, value in self.facts.headers if name == "user-agent"), "")
        entry = Entry(self._user, self._address, agent, self._codec.name, self._since_unix_ms)
        self._edge.registration.put(self.id, entry, self._registered)
        greeting = self._codec.greeting(self.id)
        if greeting is not None:
            self._collect(greeting)
        socket.start(self, farewell=(NORMAL, GOODBYE))

    # Listener

    def on_text(self, text: str) -> None:
        if self._state is not _State.OPEN:
            return
        edge = self._edge
        edge.counters.received += 1
        if self._rate is not None and not self._rate.allow(edge.now()):
            self._end_with(RateExceeded())
            return
        size = len(text) if text.isascii() else len(text.encode())
        if size > edge.limits.message_bytes:
            self.close(TOO_BIG, f"over {edge.limits.message_bytes} bytes")
            return
        edge.dispatcher.read(self._desk, Event.MESSAGE, text, size_bytes=size)
        if self._reading and self._desk.conversation.full and self._socket is not None:
            self._reading = False
            self._socket.pause_reading()

    def on_binary(self) -> None:
        if self._state is _State.OPEN:
            self._end_with(BinaryMessage())

    def on_close(self, code: int, reason: str) -> None:
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        edge = self._edge
        edge.counters.closed[code] += 1
        edge.registration.drop(self.id)
        self._payloads.clear()
        if self._accepted and edge.wants_disconnects():
            self._say_goodbye(code, reason)
        else:
            self._leave()
        if not self.ended.done():
            self.ended.set_result(None)

    # Member

    def settle(self, worker: WorkerId, answer: Answer) -> None:
        self._edge.dispatcher.settle(self._desk, worker, answer)

    def flush(self) -> None:
        """Write what has collected. A socket that has too much waiting already is dropped."""
        payloads, self._payloads = self._payloads, []
        size, self._unflushed_bytes = self._unflushed_bytes, 0
        socket = self._socket
        if socket is None or not payloads or self._state in (_State.CLOSING, _State.CLOSED):
            return
        buffered = socket.buffered_bytes
        if buffered and buffered + size > self._edge.limits.outbox_bytes:
            self._drop_slow("outbox", buffered + size)
            return
        self._edge.counters.sent += len(payloads)
        socket.write(payloads)

    # Party

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        if pending.event is Event.CONNECT:
            self._decide(answer)
        elif pending.event is Event.DISCONNECT:
            self._leave()
        else:
            if isinstance(answer, Failed):
                self._failed()
            elif isinstance(answer, Reply) and answer.text is not None:
                self._collect(
                    self._codec.reply(answer.text, handled_by=handled_by, attempt=answer.attempt)
                )
            self._after_answer()

    def unhandled(self, pending: Pending) -> None:
        if pending.event is Event.CONNECT:
            self._decide(None)
        elif pending.event is Event.DISCONNECT:
            log.error("on_disconnect given up", connection_id=self.id)
            self._leave()
        else:
            self._failed()
            self._after_answer()

    # The end

    def drain(self) -> None:
        """Read no more, finish what is outstanding, then close with 3001."""
        if self._state is not _State.OPEN:
            return
        self._state = _State.DRAINING
        if self._socket is not None:
            self._socket.pause_reading()
        self._close_if_drained()

    def close_drained(self) -> None:
        self.close(*DRAINED)

    def close(self, code: int, reason: str) -> None:
        """Say goodbye and begin the closing handshake. What is unanswered stays so."""
        if self._state not in (_State.OPEN, _State.DRAINING) or self._socket is None:
            return
        if self._codec.goodbye is not None:
            self._collect(self._codec.goodbye)
        self.flush()
        if self._may_close():
            self._state = _State.CLOSING
            self._socket.close(code, reason)

    def _may_close(self) -> bool:
        """Flushing may have found a slow socket and dropped it."""
        return self._state is not _State.CLOSED

    def check_progress(self, now: float) -> int:
        """Drop the socket if nothing of what waits has left it for too long.

        Returns:
            How many bytes wait.
        """
        if self._socket is None or self._state is _State.CLOSED:
            return 0
        buffered = self._socket.buffered_bytes
        taken = self._socket.written_bytes - buffered
        if not buffered or taken > self._taken_bytes:
            self._taken_bytes = taken
            self._progress_at = now
        elif now - self._progress_at >= self._edge.limits.stall_s:
            self._drop_slow("stalled", buffered)
        return buffered

    def _drop_slow(self, why: str, waiting_bytes: int) -> None:
        log.warning("slow socket dropped", connection_id=self.id, why=why, bytes=waiting_bytes)
        socket = self._socket
        self.on_close(SlowConsumer.close_code, SlowConsumer.reason)
        if socket is not None:
            socket.abort()

    def _end_with(self, ending: ConnectionEnding) -> None:
        self.close(ending.close_code, ending.reason)

    def _failed(self) -> None:
        text = self._codec.failed(HandlerFailed())
        if text is not None:
            self._collect(text)
        else:
            self._end_with(HandlerFailed())

    def _after_answer(self) -> None:
        if self._state is _State.DRAINING:
            self._close_if_drained()
        elif not self._reading and not self._desk.conversation.full and self._socket is not None:
            self._reading = True
            self._socket.resume_reading()

    def _close_if_drained(self) -> None:
        if not len(self._desk.conversation):
            self.close_drained()

    def _collect(self, text: str) -> None:
        if self._state in (_State.CLOSING, _State.CLOSED):
            return
        if not self._payloads:
            self._edge.hub.flush_later(self)
        payload = text.encode()
        self._payloads.append(payload)
        self._unflushed_bytes += len(payload)

    def _registered(self) -> None:
        self._desk.conversation.held = False
        self._edge.dispatcher.pump(self._desk)

    def _decide(self, answer: Answer | None) -> None:
        if self._decision is not None and not self._decision.done():
            self._decision.set_result(answer)

    def _say_goodbye(self, code: int, reason: str) -> None:
        conversation = self._desk.conversation
        conversation.held = False
        conversation.abandon()
        self._edge.dispatcher.read(self._desk, Event.DISCONNECT, reason, close_code=code)

    def _leave(self) -> None:
        self._edge.dispatcher.close(self._desk)
        self._edge.hub.remove(self.id)
