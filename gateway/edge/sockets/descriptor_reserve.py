"""The last descriptors of a worker: for probes and scrapes, and for saying 503 to everybody else.

A process without a descriptor can accept nobody: libuv then closes whoever knocks, without a word,
and a worker that cannot answer ``/livez`` is killed with all the sockets it holds.
"""

from __future__ import annotations

import asyncio
import resource
import time
from typing import Any, Final
from weakref import WeakKeyDictionary

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.server import ServerState

from gateway import metrics
from gateway.edge.admission import NO_FILES
from gateway.edge.open_files import RESERVE
from gateway.edge.sockets.uvicorn_http import GatewayHttp
from gateway.log import get_logger

log = get_logger(__name__)

PATHS: Final = ("/livez", "/readyz", "/metrics")  # also below the path of a mount
HEAD_S: Final = 1.0  # for a whole head: others wait for the place
PLACES: Final = RESERVE * 3 // 4  # the rest is for Redis and for files
TOLD_EACH_S: Final = 10.0


class _DescriptorReserve:
    """Who has one of the last descriptors, oldest first; and when the log was told."""

    def __init__(self) -> None:
        self.taken: dict[ReservingHttp, None] = {}
        self._turned_away = 0
        self._told_at = -TOLD_EACH_S

    def take(self, protocol: ReservingHttp) -> None:
        """The oldest goes for it: whoever has a request to make has made it by then."""
        self.taken[protocol] = None
        if len(self.taken) > PLACES:
            oldest = next(iter(self.taken))
            del self.taken[oldest]
            oldest.transport.abort()
        self._turned_away += 1
        now = time.monotonic()
        if now - self._told_at >= TOLD_EACH_S:
            log.error(
                "out of file descriptors",
                open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
                connections=self._turned_away,
            )
            self._told_at, self._turned_away = now, 0


_by_server: WeakKeyDictionary[ServerState, _DescriptorReserve] = WeakKeyDictionary()


class ReservingHttp(GatewayHttp):
    """Takes a connection that got one of the last descriptors for one short request only.

    The kernel gives the lowest number that is free. So the number of a new socket tells how many
    files the process has open, its application's included, without counting them.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._reserve: _DescriptorReserve | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if _is_one_of_the_last(transport):
            self._reserve = _by_server.setdefault(self.server_state, _DescriptorReserve())
            self.app = _only_probes(self.app)
            self.head_s = HEAD_S
        super().connection_made(transport)
        if self._reserve is not None:
            self._reserve.take(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reserve is not None:
            self._reserve.taken.pop(self, None)
        super().connection_lost(exc)

    def _should_upgrade(self) -> bool:
        upgrades = super()._should_upgrade()
        if upgrades and self._reserve is not None:
            metrics.REFUSED.labels(reason=NO_FILES.reason).inc()
            return False
        return upgrades

    def _unsupported_upgrade_warning(self) -> None:
        if self._reserve is None:
            super()._unsupported_upgrade_warning()
        else:
            self._deaf = True  # it has been answered


def _is_one_of_the_last(transport: asyncio.Transport) -> bool:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    socket = transport.get_extra_info("socket")
    if limit == resource.RLIM_INFINITY or socket is None:
        return False
    return bool(socket.fileno() >= limit - RESERVE)


def _is_probe(path: str) -> bool:
    # A name in a path may be any text, and is for those who have time.
    return path.endswith(PATHS) and "/@" not in path


def _only_probes(app: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                message = {**message, "headers": headers}
            await send(message)

        if _is_probe(scope["path"]):
            await app(scope, receive, send_last)
            return
        headers = {"retry-after": str(NO_FILES.retry_after_s)}
        response = PlainTextResponse(NO_FILES.text + "\n", NO_FILES.status, headers)
        await response(scope, receive, send_last)

    return answer
