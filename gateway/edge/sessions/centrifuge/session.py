"""One client of the Centrifuge protocol: its rules, and the connection on which they are spoken.

What the server wants of its subscriptions is in ``server_side``.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from typing import Final

import msgspec

from gateway.close_codes import (
    INAPPROPRIATE_PROTOCOL,
    INSUFFICIENT_STATE,
    INTERNAL_ERROR,
    NORMAL,
    Close,
)
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.server_side import ServerSide, Told
from gateway.edge.sessions.centrifuge.session_context import SessionContext
from gateway.edge.sessions.centrifuge.subscription import Subscription
from gateway.edge.sockets.timer_wheel import NOWHERE
from gateway.errors import HandlerFailed
from gateway.log import get_logger
from gateway.protocol.centrifuge.commands import parts
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
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.ids import WorkerId
from gateway.protocol.run import Run
from gateway.protocol.token_claims import ConnectionClaims

log = get_logger(__name__)

MAX_HELD: Final = 256  # pushes that come while a connect is answered
MAX_AT_ONCE: Final = 64  # commands of a frame, before the loop goes on with something else

_MOVES_DEADLINE: Final = (ConnectResult, SubscribeResult, RefreshResult, SubRefreshResult)


def _end(
    connection: OpenConnection, channel: str, subscription: Subscription, code: int, reason: str
) -> None:
    tells = subscription.live or subscription.granted
    subscription.end()
    if tells:
        connection.hooks.tell_unsubscribed(channel, code, reason)


class CentrifugeSession:
    """A ``gateway.edge.sessions.base.Session`` of one connection, and ``Due`` on the timer.

    Attributes:
        connection: While it is open.
        claims: What the token said with which it came, if it came with one.
        reading: What reads a history for it: nobody else waits for that.
        subscriptions: Those that have begun and are not ended.
        server_side: What the server wants of them.
        rules: From the greeting on.
    """

    __slots__ = (
        "_doing", "_due_at", "_going_on", "_held", "_rest", "_slot", "_steps", "_turn",
        "_unanswered", "claims", "connection", "context", "reading", "received", "rules",
        "server_side", "subscriptions",
    )  # fmt: skip

    name = "centrifuge"
    farewell = NORMAL
    pings = False
    early = None  # a client is told of its channels with the reply to its connect

    def __init__(self, context: SessionContext) -> None:
        self.connection: OpenConnection | None = None
        self.claims: ConnectionClaims | None = None
        self.reading: asyncio.Task[object] | None = None
        self.received = 0
        self.subscriptions: dict[str, Subscription] = {}
        self.server_side = ServerSide()
        self.context = context
        self.rules: Session | None = None
        self._rest: list[str] = []  # of a frame, in parts, the last one first
        self._going_on = False
        self._steps: deque[Step] = deque()
        self._held: list[bytes] = []  # pushes until the connect is answered
        self._doing = False
        self._unanswered: set[int] = set()
        self._turn: asyncio.Lock | None = None  # once something is asked
        self._slot = NOWHERE
        self._due_at = NEVER  # of the deadline in that slot

    @property
    def full(self) -> bool:
        rules = self.rules
        return bool(self._rest) or (rules is not None and rules.full)

    @property
    def idle(self) -> bool:
        return not self._unanswered and not self._rest

    @property
    def turn(self) -> asyncio.Lock:
        """Held while one of its questions is looked up."""
        if self._turn is None:
            self._turn = asyncio.Lock()
        return self._turn

    # What the client does

    def messages_in(self, text: str) -> int:
        """One for each command. Not for a pong, which the server has asked for."""
        lines = text.removesuffix("\n")
        return 0 if lines == "{}" else lines.count("\n") + 1

    def on_text(self, connection: OpenConnection, text: str, size_bytes: int) -> None:  # noqa: ARG002
        if self.rules is None:
            return
        if "\n" in text:
            self.received += self.messages_in(text)
            text, *rest = parts(text, MAX_AT_ONCE)
            self._rest = rest[::-1]
        elif text != "{}":
            self.received += 1
        self.do(self.rules.receive(text))

    def go_on(self) -> None:
        if self._rest and not self._going_on and self.rules is not None and not self.rules.full:
            self._going_on = True
            asyncio.get_running_loop().call_soon(self._take_rest)

    def _take_rest(self) -> None:
        self._going_on = False
        if self._rest and self.rules is not None:
            self.do(self.rules.receive(self._rest.pop()))

    def on_binary(self, connection: OpenConnection) -> None:
        """Protobuf comes in those."""
        connection.close(*INAPPROPRIATE_PROTOCOL)

    def on_close(self, code: int, reason: str) -> None:
        connection, self.connection = self.connection, None
        if self.reading is not None:
            self.reading.cancel()
        self.context.timers.take(self, self._slot)
        self._slot = NOWHERE
        if self.rules is not None:
            self.rules.close(Close(code, reason), "closed")
        self._rest.clear()
        self._steps.clear()
        self._held.clear()
        subscriptions, self.subscriptions = self.subscriptions, {}
        for channel, subscription in subscriptions.items():
            if connection is not None:
                _end(connection, channel, subscription, code, reason)
        self.server_side.close()

    # What leaves

    def greeting(self, connection: OpenConnection) -> bytes | None:
        """Nothing is sent: the client begins."""
        context = self.context
        self.connection = connection
        self.rules = Session(
            connection.id,
            version=context.version,
            available=context.requests.available,
            first_ping=random.uniform(0.5, 1.0),  # noqa: S311 (spreads pings, is no secret)
            now=context.now(),
            timing=context.timing,
        )
        self._put_deadline()
        return None

    def push(self, text: str) -> bytes | None:
        """A ``message``: the JSON value that ``text`` is; as a string, if it is none."""
        if self.rules is None or self.rules.state is not State.CONNECTED:
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
        text: str | None,
        *,
        handled_by: WorkerId,  # noqa: ARG002
        attempt: int,  # noqa: ARG002
    ) -> bytes | None:
        """What ``send`` brought is answered as anything is sent out of turn."""
        return None if text is None else self.push(text)

    def failed(self, error: HandlerFailed) -> bytes | None:  # noqa: ARG002
        """``send`` has no reply that could say it."""
        return None

    # What was asked

    def answer(self, ticket: int, answer: Answer) -> None:
        """Answer what was asked with this ticket. Nothing a second time, nor after the end."""
        if self.rules is None or self.connection is None or ticket not in self._unanswered:
            return
        self._unanswered.discard(ticket)
        try:
            steps = self.rules.answer(ticket, answer, self.context.now())
        except Exception:
            # Half of it may be done, and nobody can tell the client what it waits for.
            self.connection.close(*INTERNAL_ERROR)
            raise
        self.do(steps)
        if self._held and self.rules.state is State.CONNECTED:
            held, self._held = self._held, []
            self.do([Write(push) for push in held])
        server_side = self.server_side
        if server_side.wanted or server_side.untold:
            server_side.answered(self)
        if isinstance(answer, _MOVES_DEADLINE):
            self._put_deadline()

    # Channels

    def deliver(self, run: Run) -> None:
        """Send pushes of a channel, behind every reply that there is to send."""
        if self.connection is None:
            return
        if self._steps:
            self._steps.extend(map(Write, run.messages))
        elif self.rules is not None and self.rules.state is State.CONNECTED:
            self.connection.send_run(run)
        elif len(self._held) + len(run.messages) <= MAX_HELD:
            self._held.extend(run.messages)
        else:
            self.missed()

    def missed(self) -> None:
        """More has come than can be kept for it."""
        if self.connection is not None:
            self.connection.close(*INSUFFICIENT_STATE)

    def insufficient(self, channel: str) -> None:
        """A subscription has missed something."""
        if self.rules is None or self.connection is None:
            return
        if self.rules.state is State.CONNECTED:
            self.do(self.rules.insufficient(channel))
        else:
            self.missed()

    def end(self, channel: str, code: int = 0, reason: str = "") -> None:
        """End the subscription to a channel, if there is one; the client knows.

        Args:
            code: Why, as the application's ``on_unsubscribe`` is told.
        """
        subscription = self.subscriptions.pop(channel, None)
        self.server_side.ended(channel)
        if subscription is not None and self.connection is not None:
            _end(self.connection, channel, subscription, code, reason)

    def ends_at(self, channel: str, unix_s: float) -> None:
        """Let a subscription expire, of which the client is not told before."""
        if self.rules is not None:
            now = self.context.now()
            self.rules.ends_at(channel, now + unix_s - time.time())
            self._put_deadline()

    def client_info(self, connection: OpenConnection, chan_info: bytes = b"") -> ClientInfo:
        """What others are shown of it."""
        conn_info = b"" if self.claims is None else self.claims.info
        return ClientInfo(connection.user or "", connection.id, conn_info, chan_info)

    # What the server wants

    def subscribe(self, connection: OpenConnection, channel: str, done: Told) -> None:
        self.server_side.subscribe(self, connection, channel, done)

    def unsubscribe(self, connection: OpenConnection, channel: str, done: Told) -> None:  # noqa: ARG002
        self.server_side.unsubscribe(self, channel, done)

    # Time

    def due(self, slot: int) -> None:
        if slot != self._slot or self.rules is None or self.connection is None:
            return
        self._slot, self._due_at = NOWHERE, NEVER
        self.do(self.rules.tick(self.context.now(), reading=self.connection.reading))
        self._put_deadline()

    def _put_deadline(self) -> None:
        """Have ``due`` called in time. One that has become later is left to come early."""
        if self.rules is None or self.connection is None:
            return
        due_at = self.rules.due_at
        if due_at >= self._due_at:
            return
        timers = self.context.timers
        timers.take(self, self._slot)
        self._slot = timers.put(self, max(0.0, due_at - self.context.now()))
        self._due_at = due_at

    # Steps

    def do(self, steps: list[Step]) -> None:
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
        connection, rules = self.connection, self.rules
        if connection is not None and (
            self._rest or not connection.reading or (rules is not None and rules.full)
        ):
            connection.progressed()

    def _step(self, connection: OpenConnection, step: Step) -> None:
        match step:
            case Write(payload):
                connection.send(payload)
            case Ask():
                self._unanswered.add(step.ticket)
                self.context.requests.ask(self, step)
            case End(close, why):
                log.debug("client ended", connection_id=connection.id, code=close.code, why=why)
                connection.close(*close)
