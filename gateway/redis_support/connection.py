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

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress

Command = tuple[str | bytes | int, ...]

SECOND_LOOK_S: Final = 0.01

_INCOMPLETE = object()


class ReplyError(Exception):
    """Redis answered one command with an error. A value among replies, not raised here."""


class RedisConnection(asyncio.Protocol):
    """One connection. Make it with ``connect``.

    Attributes:
        lost: Done once the connection is gone, however it went. Never has an exception.
    """

    def __init__(
        self,
        *,
        deadline_s: float,
        on_replies: Callable[[list[Any]], None] | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(replyError=ReplyError, notEnoughData=_INCOMPLETE)
        self._deadline_s = deadline_s
        self._on_replies = on_replies
        self._pushing = False
        self._transport: asyncio.Transport | None = None
        self._pending: deque[tuple[asyncio.Future[list[Any]], int, float, str | None]] = deque()
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
        """Open a connection and greet the server, all within ``deadline_s``.

        Args:
            on_replies: Where replies go after ``push_mode``: what one read brought, in order.

        Raises:
            BrokerUnavailable: No answer in time, or not the one that was wanted.
        """
        loop = asyncio.get_running_loop()

        def make() -> RedisConnection:
            return cls(deadline_s=deadline_s, on_replies=on_replies)

        connection: RedisConnection | None = None
        try:
            async with asyncio.timeout(deadline_s):
                if address.path is not None:
                    _, connection = await loop.create_unix_connection(make, address.path)
                else:
                    _, connection = await loop.create_connection(
                        make, address.host, address.port, ssl=address.tls
                    )
                replies = await connection.execute(_greeting(address, name))
        except BaseException as error:
            if connection is not None:
                connection.abort()
            if isinstance(error, OSError | TimeoutError | BrokerUnavailable):
                why = f"no connection to {address.display}: {error!r}"
                raise BrokerUnavailable(why) from error
            raise
        refused = next((r for r in replies if isinstance(r, ReplyError)), None)
        if refused is not None:
            connection.abort()
            raise BrokerUnavailable(f"{address.display} refuses: {refused}")
        return connection

    def execute(
        self, commands: Sequence[Command], *, or_fail: str | None = None
    ) -> asyncio.Future[list[Any]]:
        """Send commands in one write. The future has their replies, in order.

        A reply may be a ``ReplyError``; with ``or_fail`` the future fails then, with that text. It
        fails with ``BrokerUnavailable`` when the
        connection is lost or the deadline passes; then any of them may have been carried out.
        Cancelling it changes nothing on the wire.
        """
        future: asyncio.Future[list[Any]] = self._loop.create_future()
        if self._transport is None or self.lost.done():
            future.set_exception(BrokerUnavailable("the connection to Redis is lost"))
            return future
        deadline = self._loop.time() + self._deadline_s
        self._pending.append((future, len(commands), deadline, or_fail))
        if self._timer is None:
            self._timer = self._loop.call_later(self._deadline_s, self._check_deadline)
        self._transport.write(b"".join([_pack(command) for command in commands]))
        return future

    def push_mode(self) -> None:
        """From here on every reply goes to ``on_replies`` (a connection that subscribes)."""
        self._pushing = True

    def send(self, command: Command) -> None:
        """Write one command in push mode. A lost connection swallows it."""
        if self._transport is not None and not self.lost.done():
            self._transport.write(_pack(command))

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
        self._reader.feed(data)
        try:
            if self._pushing:
                self._push()
            else:
                self._answer()
        except hiredis.ProtocolError:
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

    def _push(self) -> None:
        replies = []
        while (reply := self._reader.gets()) is not _INCOMPLETE:
            replies.append(reply)
        if replies and self._on_replies is not None:
            self._on_replies(replies)

    def _answer(self) -> None:
        while self._pending and (reply := self._reader.gets()) is not _INCOMPLETE:
            self._replies.append(reply)
            future, count, _, or_fail = self._pending[0]
            if len(self._replies) == count:
                self._pending.popleft()
                replies, self._replies = self._replies, []
                if not future.done():
                    _settle(future, replies, or_fail)

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


def _settle(future: asyncio.Future[list[Any]], replies: list[Any], or_fail: str | None) -> None:
    if or_fail is not None:
        for reply in replies:
            if isinstance(reply, ReplyError):
                future.set_exception(BrokerUnavailable(f"{or_fail}: {reply}"))
                return
    future.set_result(replies)


def _pack(command: Command) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # typed too narrowly
    return packed


def _greeting(address: RedisAddress, name: str) -> list[Command]:
    commands: list[Command] = []
    if address.password is not None:
        user = (address.username,) if address.username else ()
        commands.append(("AUTH", *user, address.password))
    commands.append(("CLIENT", "SETNAME", name))
    if address.database:
        commands.append(("SELECT", address.database))
    commands.append(("PING",))
    return commands
