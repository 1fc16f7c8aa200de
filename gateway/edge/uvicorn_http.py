"""uvicorn's HTTP protocol, with a deadline and a bound for the head of the first request.

uvicorn alone waits for ever for a client that connects and says nothing: ten thousand of them take
every file descriptor of a worker.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 65536


class _Deadlines:
    """Connections in the order in which they were made, and one timer for all of them."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: deque[tuple[float, GatewayHttp]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, protocol: GatewayHttp) -> None:
        self._waiting.append((protocol.loop.time() + self._seconds, protocol))
        if self._timer is None:
            self._timer = protocol.loop.call_later(self._seconds, self._check)

    def _check(self) -> None:
        self._timer = None
        while self._waiting:
            deadline, protocol = self._waiting[0]
            now = protocol.loop.time()
            if deadline > now:
                self._timer = protocol.loop.call_later(deadline - now, self._check)
                return
            self._waiting.popleft()
            if not protocol.head_complete:
                protocol.transport.abort()


class GatewayHttp(HttpToolsProtocol):
    """The class for a worker is made with ``within``."""

    deadlines: _Deadlines

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.head_complete = False
        self._head_bytes = 0

    @classmethod
    def within(cls, seconds: float) -> type[GatewayHttp]:
        """The same class with a deadline: a head must be complete ``seconds`` after connecting."""
        return type(cls.__name__, (cls,), {"deadlines": _Deadlines(seconds)})

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.deadlines.add(self)

    def data_received(self, data: bytes) -> None:
        if not self.head_complete:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The request's head is too long.")
                return
        super().data_received(data)

    def on_headers_complete(self) -> None:
        self.head_complete = True
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.head_complete = True  # nothing more to wait for
        super().connection_lost(exc)
