"""One connection to Redis for the hot path: pipelines out, replies and deliveries in.

redis-py serves everything that is not hot. Here its conveniences are in the way: it reconnects in
silence, retries what must not be repeated, gives a frozen server no deadline, and costs twice as
much a round trip (ADR 2). This class does none of that: a connection is opened, used and lost, and
whoever owns it decides what comes next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

import hiredis

from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.greeting import check_greeting, greeting_of
from gateway.redis_support.node import Node, subject
from gateway.redis_support.reader import INCOMPLETE, BoundedReader, ReplyError
from gateway.redis_support.stream import UNCONNECTED, Endpoint
from gateway.redis_support.writing import Command, pack, write

REPLY_ON: Final[Command] = ("CLIENT", "REPLY", "ON")
SECOND_LOOK_S: Final = 0.01


class RedisConnection(asyncio.Protocol):
    """One connection. Make it with ``connect``.

    Attributes:
        lost: Done once the connection is gone, however it went. Never has an exception.
        endpoint: Where it was made to; None for a unix socket.
    """

    def __init__(
        self,
        *,
        deadline_s: float,
        node: Node,
        on_replies: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self.endpoint: Endpoint | None = None
        self._loop = asyncio.get_running_loop()
        self._node = node
        self._reader = BoundedReader(reply_error=ReplyError)
        self._deadline_s = deadline_s
        self._on_replies = on_replies
        self._pushing = False
        self._transport: asyncio.Transport | None = None
        self._pending: deque[
            tuple[asyncio.Future[list[Any]], Sequence[Command], float, str | None]
        ] = deque()
        self._replies: list[Any] = []
        self._timer: asyncio.TimerHandle | None = None
        self._overdue = False
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def connect(
        cls,
        address: RedisAddress,
        *,
        deadline_s: float,
        name: str,
        on_replies: Callable[[list[Any]], None] | None = None,
    ) -> RedisConnection:
        """Open a connection and greet the server, all within ``deadline_s``, and while it is there.

        Args:
            on_replies: Where replies go after ``push_mode``: what one read brought, in order.

        Raises:
            BrokerUnavailable: No answer in time, not the one that was wanted, or a server that
                takes no writes.
        """
        loop = asyncio.get_running_loop()

        def make() -> RedisConnection:
            return cls(deadline_s=deadline_s, node=address.node, on_replies=on_replies)

        connection: RedisConnection | None = None
        endpoint: Endpoint | None = None
        try:
            async with asyncio.timeout(deadline_s) as deadline:
                if address.path is None:
                    endpoint = await address.where()
                with address.node.until_moved(deadline):
                    if endpoint is None:
                        _, connection = await loop.create_unix_connection(make, address.path)
                    else:
                        _, connection = await loop.create_connection(
                            make, *endpoint, ssl=address.tls
                        )
                        connection.endpoint = endpoint
                    greeting = greeting_of(address, name)
                    replies = await connection.execute(greeting)
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, (*UNCONNECTED, BrokerUnavailable)):
                why = f"no connection to {address.display}{_named(address, endpoint)}: {error!r}"
                raise BrokerUnavailable(why) from error
            raise
        if endpoint is not None and not address.is_at(endpoint):
            connection.abort()
            raise BrokerUnavailable(f"{address.display} has another primary by now")
        try:
            check_greeting(greeting, replies, address)
        except BrokerUnavailable as error:
            connection.abort()
            raise BrokerRefused(f"{address.display} {error}") from None
        return connection

    def execute(
        self, commands: Sequence[Command], *, or_fail: str | None = None
    ) -> asyncio.Future[list[Any]]:
        """Send commands in one write. The future has their replies, in order.

        A reply may be a ``ReplyError``; with ``or_fail`` the future fails then, with that text, and
        the node is told. It fails with ``BrokerUnavailable`` when the connection is lost or the
        deadline passes; then any of them may have been carried out. Cancelling it changes nothing
        on the wire.

        Raises:
            TypeError: A word of a command is none that Redis takes. Nothing was sent, and what
                others have sent goes on.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if self._transport is None or self.lost.done():
            future.set_exception(BrokerUnavailable("the connection to Redis is lost"))
            return future
        # Before it waits for an answer: what cannot be said would be given that of the next.
        write(self._transport, commands)
        deadline = self._loop.time() + self._deadline_s
        self._pending.append((future, commands, deadline, or_fail))
        if self._timer is None:
            self._timer = self._loop.call_later(self._deadline_s, self._check_deadline)
        return future

    def push_mode(self) -> None:
        """From here on every reply goes to ``on_replies`` (a connection that subscribes)."""
        self._pushing = True

    def send(self, command: Command) -> None:
        """Write one command in push mode. A lost connection swallows it."""
        if self._transport is not None and not self.lost.done():
            self._transport.write(pack(command))

    def send_unanswered(self, command: Command) -> None:
        """Have one carried out without an answer. A lost connection swallows it.

        Only where ``REPLY_ON`` was answered with OK: a refusal would be taken for another's answer.
        """
        if self._transport is not None and not self.lost.done():
            self._transport.write(_SKIP_REPLY + pack(command))

    def raise_if_lost(self) -> None:
        """Raise BrokerUnavailable once the connection is gone."""
        if self.lost.done():
            raise BrokerUnavailable("the connection to Redis is lost")

    def abort(self) -> None:
        """Drop the connection now."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        try:
            early = self._reader.feed(data)
            if not self._pushing:
                self._answer(early)
                return
            gets = self._reader.gets
            while (reply := gets()) is not INCOMPLETE:
                early.append(reply)
            if early and self._on_replies is not None:
                self._on_replies(early)
        except hiredis.ProtocolError as error:
            self._node.garbage(str(error), "push" if self._pushing else "reply")
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self.lost.done():
            self.lost.set_result(None)
        while self._pending:
            future, *_ = self._pending.popleft()
            if not future.done():
                future.set_exception(BrokerUnavailable(f"the connection to Redis is lost: {exc!r}"))

    def _answer(self, early: list[Any]) -> None:
        for reply in early:
            self._take(reply)
        while (reply := self._reader.gets()) is not INCOMPLETE:
            self._take(reply)

    def _take(self, reply: Any) -> None:
        if not self._pending:  # from here on replies would be taken for those of other commands
            raise hiredis.ProtocolError("a reply that nobody asked for")
        self._replies.append(reply)
        future, commands, _, or_fail = self._pending[0]
        if len(self._replies) == len(commands):
            self._pending.popleft()
            replies, self._replies = self._replies, []
            if not future.done():
                if or_fail is None:
                    future.set_result(replies)
                else:
                    self._settle(future, commands, replies, or_fail)

    def _settle(
        self,
        future: asyncio.Future[list[Any]],
        commands: Sequence[Command],
        replies: list[Any],
        or_fail: str,
    ) -> None:
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, ReplyError):
                self._node.refused(str(reply), subject(command), self.endpoint)
                future.set_exception(BrokerRefused(f"{or_fail}: {reply}"))
                return
        future.set_result(replies)

    def _check_deadline(self) -> None:
        self._timer = None
        if not self._pending:
            self._overdue = False
            return
        now, deadline = self._loop.time(), self._pending[0][2]
        if now < deadline:
            self._overdue = False
            self._timer = self._loop.call_at(deadline, self._check_deadline)
        elif not self._overdue:
            # After somebody has held the loop, timers run before what has come in is read: the
            # reply may lie there. Not to read it would cost a worker its lease for one handler.
            self._overdue = True
            self._timer = self._loop.call_later(SECOND_LOOK_S, self._check_deadline)
        else:
            self.abort()  # replies can no longer be told apart from those of the past


_SKIP_REPLY: Final = pack(("CLIENT", "REPLY", "SKIP"))


def _named(address: RedisAddress, endpoint: Endpoint | None) -> str:
    """Whom Sentinels have named, for people."""
    if address.sentinels is None or endpoint is None:
        return ""
    host, port = endpoint
    return f", which is {host}:{port} {'now' if address.is_at(endpoint) else 'no more'}"
