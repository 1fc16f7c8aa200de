"""A client socket at its barest: its handshake, and then bytes as they come."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

from benchmarks.talking import ANSWERED_WITHIN_S, SOURCES

PONG = b"\x8a\x80\0\0\0\0"
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"  # 1000


def framed(text: bytes) -> bytes:
    """One text frame of a client. Its mask is zero, and so is the work of masking."""
    if len(text) < 126:
        head = bytes([0x81, 0x80 | len(text)])
    else:
        head = bytes([0x81, 0x80 | 126]) + len(text).to_bytes(2, "big")
    return head + b"\0\0\0\0" + text


class WireSocket(asyncio.Protocol):
    """Bytes after the answer to the handshake go to ``on_bytes``."""

    def __init__(self, greeting: bytes) -> None:
        self._greeting = greeting
        self._head = bytearray()
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed = False
        self.lost = asyncio.Event()
        self.transport: asyncio.Transport
        self.on_bytes: Callable[[bytes], None] = lambda _data: None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop calls its own no asyncio.Transport.
        self.transport = cast("asyncio.Transport", transport)
        if self._greeting:
            self.transport.write(self._greeting)
        else:
            self.open.set_result(None)

    def data_received(self, data: bytes) -> None:
        if self.open.done():
            self.on_bytes(data)
            return
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return
        if not self._head.startswith(b"HTTP/1.1 101"):
            self.open.set_exception(OSError(self._head[:80].decode("latin-1")))
            return
        self.open.set_result(None)
        if rest := bytes(self._head[end + 4 :]):
            self.on_bytes(rest)

    def connection_lost(self, _error: Exception | None) -> None:
        self.closed = True
        self.lost.set()
        if not self.open.done():
            self.open.set_exception(OSError("closed during the handshake"))


async def opened(
    url: str, number: int, on_bytes: Callable[[bytes], None], *, http: bool = False
) -> WireSocket:
    """Connect; with ``http`` without a handshake.

    Raises:
        OSError: It was refused.
        TimeoutError: There was no answer.
    """
    parts = urlsplit(url)
    key = base64.b64encode(os.urandom(16)).decode()
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    greeting = (
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )

    def made() -> WireSocket:
        socket = WireSocket(b"" if http else greeting.encode())
        socket.on_bytes = on_bytes
        return socket

    async with asyncio.timeout(ANSWERED_WITHIN_S):
        _, socket = await asyncio.get_running_loop().create_connection(
            made,
            parts.hostname or "",
            parts.port or 80,
            local_addr=(f"127.0.0.{1 + number % SOURCES}", 0),
        )
        await socket.open
    return socket
