"""One client of the Centrifuge protocol: its rules, and the connection on which they are spoken."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from gateway.close_codes import INAPPROPRIATE_PROTOCOL, NORMAL, Close
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sockets.timer_wheel import NOWHERE, TimerWheel
from gateway.errors import HandlerFailed, NotAvailable
from gateway.log import get_logger
from gateway.messaging.hub import Done
from gateway.protocol.centrifuge.commands import Request
from gateway.protocol.centrifuge.replies import (
    ConnectResult,
    NotJson,
    RefreshResult,
    SubRefreshResult,
    SubscribeResult,
    embeddable,
    message_push,
)
from gateway.protocol.centrifuge.session import Answer, Session
from gateway.protocol.centrifuge.states import State
from gateway.protocol.centrifuge.steps import Ask, End, Step, Write
from gateway.protocol.centrifuge.subscriptions import NEVER
from gateway.protocol.ids import WorkerId
from gateway.protocol.token_claims import ConnectionClaims

log = get_logger(__name__)

TICK_S: Final = 0.25  # of the timer that all sessions of a worker share

_MOVES_DEADLINE: Final = (ConnectResult, SubscribeResult, RefreshResult, SubRefreshResult)


class Requests(Protocol):
    """Does what clients ask for. Nothing here waits, and nothing raises."""

    @property
    def available(self) -> frozenset[type[Request]]:
        """What is served beyond connect and unsubscribe."""
        ...

    def ask(self, session: CentrifugeSession, ticket: int, request: Request) -> None:
        """Have it done; ``session.answer`` is called once with this ticket, perhaps at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """What the sessions of one worker share.

    Attributes:
        version: Of the server, as clients are told.
        timers: One timer for all of them.
        now: Monotonic seconds.
    """

    version: str
    requests: Requests
    timers: TimerWheel
    now: Callable[[], float]


class CentrifugeSession:
    """A ``gateway.edge.sessions.base.Session`` of one connection, and ``Due`` on the timer.

    Attributes:
        connection: While it is open.
        claims: What the token said with which it came, if it came with one.
    """

    __slots__ = (
        "_context", "_doing", "_due_at", "_rules", "_slot", "_steps", "_unanswered", "claims",
        "connection", "received",
    )  # fmt: skip

    name = "centrifuge"
    farewell = NORMAL
    pings = False

    def __init__(self, context: SessionContext) -> None:
        self.connection: OpenConnection | None = None
        self.claims: ConnectionClaims | None = None
        self.received = 0
        self._context = context
        self._rules: Session | None = None  # from the greeting on
        self._steps: deque[Step] = deque()
        self._doing = False
        self._unanswered = 0
        self._slot = NOWHERE
        self._due_at = NEVER  # of the deadline in that slot

    @property
    def full(self) -> bool:
        return self._rules is not None and self._rules.full

    @property
    def idle(self) -> bool:
        return not self._unanswered

    # What the client does

    def messages_in(self, text: str) -> int:
        """One for each command. Not for a pong, which the server has asked for."""
        return 0 if text == "{}" else text.count("\n") + 1

    def on_text(self, connection: OpenConnection, text: str, size_bytes: int) -> None:  # noqa: ARG002
        self.received += self.messages_in(text)
        if self._rules is not None:
            self._do(self._rules.receive(text))

    def on_binary(self, connection: OpenConnection) -> None:
        """Protobuf comes in those."""
        connection.close(*INAPPROPRIATE_PROTOCOL)

    def on_close(self, code: int, reason: str) -> None:
        self.connection = None
        self._context.timers.take(self, self._slot)
        self._slot = NOWHERE
        if self._rules is not None:
            self._rules.close(Close(code, reason), "closed")
        self._steps.clear()

    # What leaves

    def greeting(self, connection: OpenConnection) -> bytes | None:
        """Nothing is sent: the client begins."""
        context = self._context
        self.connection = connection
        self._rules = Session(
            connection.id,
            version=context.version,
            available=context.requests.available,
            first_ping=random.uniform(0.5, 1.0),  # noqa: S311 (spreads pings, is no secret)
            now=context.now(),
        )
        self._put_deadline()
        return None

    def subscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:  # noqa: ARG002
        done(NotAvailable(f"a client of {self.name} cannot be subscribed by the application yet"))

    def unsubscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:  # noqa: ARG002
        done(NotAvailable(f"a client of {self.name} cannot be unsubscribed by the application yet"))

    def push(self, text: str) -> bytes | None:
        """A ``message``: the JSON value that ``text`` is; as a string, if it is none."""
        if self._rules is None or self._rules.state is not State.CONNECTED:
            return None
        try:
            data = embeddable(text.encode())
        except NotJson:
            data = msgspec.Raw(msgspec.json.encode(text))
        return message_push(data)

    def goodbye(self, code: int, reason: str) -> bytes | None:  # noqa: ARG002
        """The close frame says it all."""
        return None

    def reply(
        self,
        text: str | None,  # noqa: ARG002
        *,
        handled_by: WorkerId,  # noqa: ARG002
        attempt: int,  # noqa: ARG002
    ) -> bytes | None:
        """No message of these clients is dispatched as one of a text socket."""
        return None

    def failed(self, error: HandlerFailed) -> bytes | None:  # noqa: ARG002
        return None

    # What was asked

    def answer(self, ticket: int, answer: Answer) -> None:
        """Answer what was asked with this ticket, once. Nothing after the end."""
        self._unanswered -= 1
        if self._rules is None or self.connection is None:
            return
        self._do(self._rules.answer(ticket, answer, self._context.now()))
        if isinstance(answer, _MOVES_DEADLINE):
            self._put_deadline()

    # Time

    def due(self, slot: int) -> None:
        if slot != self._slot or self._rules is None or self.connection is None:
            return
        self._slot, self._due_at = NOWHERE, NEVER
        self._do(self._rules.tick(self._context.now()))
        self._put_deadline()

    def _put_deadline(self) -> None:
        """Have ``due`` called in time. One that has become later is left to come early."""
        if self._rules is None or self.connection is None:
            return
        due_at = self._rules.due_at
        if due_at >= self._due_at:
            return
        timers = self._context.timers
        timers.take(self, self._slot)
        self._slot = timers.put(self, max(0.0, due_at - self._context.now()))
        self._due_at = due_at

    # Steps

    def _do(self, steps: list[Step]) -> None:
        """Do steps in the order in which they came, also those that come meanwhile."""
        self._steps.extend(steps)
        if self._doing:
            return
        self._doing = True
        try:
            while self._steps and self.connection is not None:
                self._step(self.connection, self._steps.popleft())
        finally:
            self._doing = False
        if self.connection is not None:
            self.connection.progressed()

    def _step(self, connection: OpenConnection, step: Step) -> None:
        match step:
            case Write(payload):
                connection.send(payload)
            case Ask(ticket, request):
                self._unanswered += 1
                self._context.requests.ask(self, ticket, request)
            case End(close, why):
                log.debug("client ended", connection_id=connection.id, code=close.code, why=why)
                connection.close(*close)
