"""A WebSocket protocol for uvicorn on picows' parser, with a ``Socket`` for the application.

Also usable under plain uvicorn: ``--ws gateway.edge.sockets.picows_websocket:GatewayWebSocket``. An
application that knows the scope's extension ``gateway.socket`` gets its messages by callback, and
may return: the socket stays. Any other is served plain ASGI. Compression is never negotiated.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.close_codes import INTERNAL_ERROR, NORMAL, RESTART
from gateway.edge.sockets.asgi_bridge import AsgiBridge, make_scope
from gateway.edge.sockets.frame_parser import ends
from gateway.edge.sockets.frame_reading import Reading
from gateway.edge.sockets.server_context import SocketState, context_of
from gateway.edge.sockets.socket import EXTENSION, Listener
from gateway.edge.sockets.timer_wheel import NOWHERE
from gateway.edge.sockets.upgrade import Refused, read_request, response
from gateway.log import get_logger
from gateway.protocol import frames
from gateway.protocol.run import Run

log = get_logger(__name__)


class GatewayWebSocket(Reading):
    """``Socket`` and uvicorn protocol in one object, small while nothing happens.

    What it reads, when it pings and how it ends are the classes below it.
    """

    __slots__ = ("_app_state", "_server")

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(context_of(server_state, config))
        self._server = server_state
        self._app_state: dict[str, Any] | None = app_state

    @classmethod
    def within(cls, frames_per_second: int | None) -> type[GatewayWebSocket]:
        """The same class with this bound; see ``Reading``."""
        return type(cls.__name__, (cls,), {"frames_per_second": frames_per_second, "__slots__": ()})

    # Socket

    @property
    def buffered_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    def start(self, listener: Listener, *, farewell: tuple[int, str], pings: bool = True) -> None:
        asgi, self._asgi = self._asgi, None
        if asgi is None or self._state is SocketState.DECIDING:
            raise RuntimeError("a socket is started once, after the handshake")
        messages = asgi.take()
        self._listener, self._farewell = listener, farewell
        if self._state is SocketState.ENDED:
            self._tell(*self._ending)
            return
        if not pings and self._state is SocketState.OPEN:
            self._put_deadline(None)
        # A client must wait for the 101 (RFC 6455 section 4.1). Of one that did not, what was read
        # while the application decided is answered all the same.
        self._held = deque(messages) if messages else None
        self._paused = False
        self._catch_up()

    @property
    def takes_writes(self) -> bool:
        if self._state is not SocketState.OPEN or self._transport.is_closing():
            return False
        return self._flowing or not self._held or not ends(self._held[-1])

    def write_freely(self, payloads: Sequence[bytes]) -> bool:
        transport = self._transport
        if not self._flowing or transport.get_write_buffer_size() or transport.is_closing():
            return False
        written = frames.text_frames(payloads)
        self.written_bytes += len(written)
        transport.write(written)
        return True

    def write(self, payloads: Sequence[bytes]) -> None:
        if self._transport.is_closing() if self._flowing else not self.takes_writes:
            return
        size = sum(map(len, payloads))
        if size < frames.LONG_BYTES:
            self._write(frames.text_frames(payloads))
        elif size <= frames.CHUNK_BYTES:
            pieces = frames.text_pieces(payloads)
            self.written_bytes += sum(map(len, pieces))
            self._transport.writelines(pieces)
        else:
            for chunk in frames.text_chunks(payloads):
                self._write(chunk)

    def write_runs(self, runs: Sequence[Run]) -> None:
        if self.takes_writes:
            framed = [run.framed for run in runs]
            self.written_bytes += sum(map(len, framed))
            self._transport.writelines(framed)

    def write_at_once(self, run: Run) -> bool:
        transport = self._transport
        if not self._flowing or transport.get_write_buffer_size() or transport.is_closing():
            return False
        framed = run.framed
        self.written_bytes += len(framed)
        transport.write(framed)
        return True

    def write_rest(self, run: Run, taken: int) -> None:
        if self.takes_writes:
            self._write(run.framed[taken:])

    def lend(self, back: Callable[[], None]) -> int | None:
        transport = self._transport
        if transport.get_extra_info("sslcontext") is not None:
            return None
        transport.set_write_buffer_limits(high=0)  # or nobody would tell that something waits
        self._back = back
        descriptor: int = transport.get_extra_info("socket").fileno()
        return descriptor

    def pause_reading(self) -> None:
        if self._state is not SocketState.OPEN:
            return
        self._paused = True
        self._flowing = False
        self._take_back()
        self._stop()

    def resume_reading(self) -> None:
        if self._paused:
            self._resume_soon()

    def close(self, code: int, reason: str) -> None:
        if self._state is not SocketState.OPEN:
            return
        if self._held and ends(self._held[-1]):
            self._handle(self._held[-1])  # the peer was first
            return
        self._state = SocketState.CLOSING
        self._ending = (code, reason)
        self._flowing = self._paused = False
        self._take_back()
        self._write(frames.close_frame(code, reason))
        self._put_deadline(self.close_timeout_s)
        self._catch_up()  # the peer's close may be among what was held back

    def abort(self) -> None:
        self._take_back()
        self._transport.abort()

    # For the application's side

    def accepted(self, answer: bytes) -> None:
        if self._state is SocketState.DECIDING:
            self._state = SocketState.OPEN
            self._write(answer)
            self._put_deadline(self._context.ping_interval_s)
            self._catch_up()

    def answered(self, answer: bytes) -> None:
        if self._state is SocketState.DECIDING:
            self._write(answer)
            self._leave()

    def send(self, frame: bytes) -> None:
        if self._state is SocketState.OPEN:
            self._write(frame)

    def returned(self, *, failed: bool) -> None:
        if self._state is SocketState.DECIDING:
            self.answered(response(500, [], b"Internal Server Error"))
        elif failed:
            self.close(*INTERNAL_ERROR)
        elif self._asgi is not None:
            self.close(NORMAL.code, "")
        self._asgi = None

    # asyncio's and uvicorn's protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(cast(Any, self))

    def data_received(self, data: bytes) -> None:
        if self._flowing:
            listener = self._listener
            if self._parser is None and listener is not None:
                text = frames.lone_text(data)
                if text is not None:
                    try:
                        listener.on_text(text)
                    except Exception:  # as picows does with what it parses
                        log.exception("listener failed")
                        self._fail(*INTERNAL_ERROR)
                    return
            self._feed(data)
        elif self._app_state is not None:
            self._begin(data)
        elif self._state is SocketState.ENDED:
            self._drop()
        elif self._stopped or self._state is SocketState.DECIDING:
            self._unread = b"".join((self._unread, data))
            self._stop()
        else:
            self._feed(data)

    def eof_received(self) -> None:
        self._leave()  # a transport alone would wait for ever for one that does not read

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._server.connections.discard(cast(Any, self))
        self._context.timers.take(self, self._slot)
        self._slot = NOWHERE
        self._rest()
        self._tell(*self._ending)

    def shutdown(self) -> None:
        """End at once, with a word about it."""
        if self._state is SocketState.DECIDING:
            self.answered(response(503, [(b"retry-after", b"1")], b"shutting down"))
        elif self._state is SocketState.OPEN:
            self._ending = RESTART
            self._write(frames.close_frame(*RESTART))
        self._leave()

    def _begin(self, head: bytes) -> None:
        """The upgrade request, whole, as uvicorn hands it on."""
        app_state, self._app_state = self._app_state, None
        try:
            upgrade = read_request(head)
        except Refused as refused:
            self.answered(refused.response)
            return
        scope = make_scope(upgrade, self._transport, self._context.config)
        scope["state"] = dict(app_state or {})
        scope["extensions"][EXTENSION] = self
        asgi = self._asgi = AsgiBridge(self, scope, upgrade, self._server.default_headers)
        application, tasks = self._context.config.loaded_app, self._server.tasks
        self._context.throttle.enter(lambda: asgi.start(application, tasks))
