"""A ``Socket`` on plain ASGI: for any server whose scope has no ``gateway.socket``."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from gateway.close_codes import LOST
from gateway.edge.sockets.socket import Listener
from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MESSAGES_PER_TURN: Final = 32


class AsgiSocket:
    """Reads with ``receive`` and writes with ``send``, each in one task of ``run``.

    The client's own close cannot be answered with a reason here: ASGI answers it before it tells.

    Args:
        certain: The server does not pass over what it is sent after the client has gone: since 2.4
            of the specification, ``send`` raises then. With another server nobody can know.
    """

    def __init__(self, receive: Receive, send: Send, *, certain: bool) -> None:
        self._receive = receive
        self._send = send
        self._taken = Receipt.WRITTEN if certain else Receipt.UNREACHABLE
        self._listener: Listener | None = None
        self._waiting: deque[tuple[bytes, asyncio.Future[Receipt] | None]] = deque()
        self._begun = False  # of the oldest write, a part has been handed to the server
        self._buffered = 0
        self.written_bytes = 0
        self._closing: tuple[int, str] | None = None
        self._broken = False
        self._written = asyncio.Event()
        self._readable = asyncio.Event()
        self._readable.set()
        self._aborted = asyncio.Event()

    @property
    def buffered_bytes(self) -> int:
        return self._buffered

    @property
    def ping_unanswered_s(self) -> None:
        """The server pings, and does not tell."""
        return

    @property
    def takes_writes(self) -> bool:
        return self._closing is None and not self._broken and not self._aborted.is_set()

    def start(
        self,
        listener: Listener,
        *,
        farewell: tuple[int, str],  # noqa: ARG002
        pings: bool = True,  # noqa: ARG002 (the server's own)
    ) -> None:
        self._listener = listener

    def write(self, payloads: Sequence[bytes]) -> asyncio.Future[Receipt]:
        known: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        if not self.takes_writes or not payloads:
            known.set_result(Receipt.GONE)
            return known
        self._waiting.extend((payload, None) for payload in payloads[:-1])
        self._waiting.append((payloads[-1], known))
        size = sum(map(len, payloads))
        self._buffered += size
        self.written_bytes += size
        self._written.set()
        return known

    def write_freely(self, payloads: Sequence[bytes]) -> bool:  # noqa: ARG002 (its task does)
        return False

    def write_runs(self, runs: Sequence[Run]) -> asyncio.Future[Receipt]:
        return self.write([message for run in runs for message in run.messages])

    def write_at_once(self, run: Run) -> bool:  # noqa: ARG002 (its task does)
        return False

    def write_rest(self, run: Run, taken: int) -> None:
        raise NotImplementedError  # nothing is lent

    def lend(self, back: Callable[[], None]) -> int | None:  # noqa: ARG002 (its task writes)
        return None

    def pause_reading(self) -> None:
        self._readable.clear()

    def resume_reading(self) -> None:
        self._readable.set()

    def close(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = (code, reason)
            self._written.set()
            self._readable.set()

    def abort(self) -> None:
        self._aborted.set()

    async def run(self) -> None:
        """Serve the socket until it ends. Every way out has told the listener."""
        tasks = [
            asyncio.create_task(self._read(), name="socket reader"),
            asyncio.create_task(self._write(), name="socket writer"),
            asyncio.create_task(self._aborted.wait(), name="socket abort"),
        ]
        try:
            await asyncio.wait({tasks[0], tasks[2]}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._end(*(self._closing or LOST))
            for task in tasks:
                task.cancel()
            # Not gather(): of a cancellation it would lose the words by which anyio, in Starlette's
            # test client, knows its own.
            await asyncio.wait(tasks)

    async def _read(self) -> None:
        for count in itertools.count(1):
            if count % MESSAGES_PER_TURN == 0:
                await asyncio.sleep(0)  # a server that has read much does not wait in ``receive``
            await self._readable.wait()
            message = await self._receive()
            await self._readable.wait()
            if message["type"] == "websocket.disconnect":
                ended = self._closing or (
                    message.get("code", LOST.code),
                    message.get("reason") or "",
                )
                self._end(*ended)
                return
            listener = self._listener
            if listener is None or self._closing is not None:
                continue
            if message.get("text") is not None:
                listener.on_text(message["text"])
            else:
                listener.on_binary()

    async def _write(self) -> None:
        try:
            while True:
                await self._written.wait()
                self._written.clear()
                while self._waiting:
                    payload, known = self._waiting[0]
                    self._begun = True
                    await self._send({"type": "websocket.send", "text": payload.decode()})
                    if self._broken:
                        return
                    self._waiting.popleft()
                    self._buffered -= len(payload)
                    if known is not None:
                        self._begun = False
                        known.set_result(self._taken)
                if self._closing is not None:
                    code, reason = self._closing
                    await self._send({"type": "websocket.close", "code": code, "reason": reason})
                    return
        except OSError:  # the client has gone; the reader hears of it
            self._lose_what_waits()

    def _lose_what_waits(self) -> None:
        """The socket is broken. What was begun may have been written, the rest never will be."""
        self._broken = True
        lost = Receipt.UNREACHABLE if self._begun else Receipt.GONE
        for _payload, known in self._waiting:
            if known is not None:
                known.set_result(lost)
                lost = Receipt.GONE
        self._waiting.clear()
        self._buffered = 0

    def _end(self, code: int, reason: str) -> None:
        self._lose_what_waits()
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.on_close(code, reason)
