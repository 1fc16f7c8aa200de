"""A real HTTP server that publishes keys, or lies, stalls, dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any


class JwksServer:
    """Set ``answer`` to the bytes that it sends.

    Attributes:
        asked: How many requests have come.
        gate: Nothing is sent while it is not set.
        trickle_s: If not 0, a byte goes out each so many seconds.
    """

    def __init__(self) -> None:
        self.answer = b""
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.trickle_s = 0.0
        self.requests: list[bytes] = []
        self.port = 0
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/keys.json?a=b"

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body(json.dumps({"keys": list(keys)}).encode())

    def body(self, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answer = head.encode() + body

    async def start(self) -> None:
        """On a free port; after ``stop`` on the same one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        self.gate.set()
        await asyncio.gather(*self._serving)

    async def __aenter__(self) -> JwksServer:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                self.asked += 1
                await self.gate.wait()
                step = 1 if self.trickle_s else max(1, len(self.answer))
                for start in range(0, len(self.answer), step):
                    if writer.transport.is_closing():
                        break
                    writer.write(self.answer[start : start + step])
                    await writer.drain()
                    await asyncio.sleep(self.trickle_s)
        finally:
            self._writers.discard(writer)
            writer.close()
