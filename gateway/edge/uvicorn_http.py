"""uvicorn's HTTP protocol, with a deadline and a bound for the head of every request.

uvicorn alone waits for ever for a client that connects and says nothing, or that never ends the
body of a request that has its answer: ten thousand of them take every descriptor of a worker.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final, cast

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65536


class _Deadlines:
    """Heads in the order in which they are due, and one timer for all of them.

    One that is in time is let go at once: kept until it would have been due, two thousand
    handshakes a second are garbage that full collections look at, for 0.1 s each time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[GatewayHttp, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, protocol: GatewayHttp) -> bool:
        return protocol in self._waiting

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, protocol: GatewayHttp) -> None:
        """Abort what ``protocol`` waits for when its time is over; it begins now."""
        self._waiting.pop(protocol, None)  # it goes to the end
        self._waiting[protocol] = protocol.loop.time() + self._seconds
        if self._timer is None:
            self._timer = protocol.loop.call_later(self._seconds, self._check)

    def take(self, protocol: GatewayHttp) -> None:
        """Forget it, if it is there."""
        self._waiting.pop(protocol, None)

    def _check(self) -> None:
        self._timer = None
        for protocol, due in list(self._waiting.items()):
            now = protocol.loop.time()
            if due > now:
                self._timer = protocol.loop.call_later(due - now, self._check)
                return
            del self._waiting[protocol]
            protocol.transport.abort()


class GatewayHttp(HttpToolsProtocol):
    """The class for a worker is made with ``within``."""

    deadlines: _Deadlines

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._head_bytes = 0
        self._head_tail = b""
        self._read = b""

    @classmethod
    def within(cls, seconds: float) -> type[GatewayHttp]:
        """The same class with a deadline for heads.

        The first must be complete ``seconds`` after connecting, any other so long after it began.
        """
        return type(cls.__name__, (cls,), {"deadlines": _Deadlines(seconds)})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadlines.put(self)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self._head_ends_in_time(data):
                self.send_400_response("The request's head is too long.")
                return
        self._read = data
        super().data_received(data)
        self._read = b""
        if self._in_head:
            self._head_tail = data[-3:]
            if self not in self.deadlines:  # not one entry a request: most come whole
                self.deadlines.put(self)

    def _head_ends_in_time(self, data: bytes) -> bool:
        """Whether the rest of the head is within the bound: a body may have come with it."""
        allowed = MAX_HEAD_BYTES - (self._head_bytes - len(data))
        return b"\r\n\r\n" in self._head_tail + data[: max(0, allowed)]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._in_head:
            self._in_head = True
            self._head_bytes = 0

    def on_headers_complete(self) -> None:
        self._head_is_done()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        ended = sys.exception()  # how the parser says that this was an upgrade, and where it ended
        super().handle_websocket_upgrade()
        if isinstance(ended, HttpParserUpgrade):
            early = self._read[ended.args[0] :]
            if early:
                # Sent without waiting for the 101, and dropped by uvicorn. A message must not be
                # lost, nor the rest of one be taken for a frame.
                cast(asyncio.Protocol, self.transport.get_protocol()).data_received(early)

    def on_response_complete(self) -> None:
        # Without pipelined requests this is the end of the answer to the request that is read now.
        unread = not self.pipeline and self.cycle.more_body
        super().on_response_complete()
        if unread:
            # The rest of a body that nobody wants, and the next head, in the time of a head: each
            # byte of it ends uvicorn's keep-alive timer, and nothing would start it again.
            self.deadlines.put(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_done()
        super().connection_lost(exc)

    def _head_is_done(self) -> None:
        self._in_head = False
        self._head_tail = b""
        self.deadlines.take(self)
