"""A WebSocket client that can misbehave: every byte it sends is the test's choice."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

ANSWER_S: Final = 10.0
SMALL_BUFFER: Final = 4096
_MASK: Final = b"\0\0\0\0"  # a mask all the same, and the payload stays readable


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered to a request; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of the server's."""

    opcode: int
    payload: bytes

    @property
    def text(self) -> str:
        return self.payload.decode()

    @property
    def closing(self) -> tuple[int, str]:
        """Code and reason of a close frame."""
        assert self.opcode == CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0], self.payload[2:].decode()


def frame(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    """One masked frame."""
    first = (0x80 if fin else 0) | opcode
    length = len(payload)
    if length < 126:
        head = struct.pack("!BB", first, 0x80 | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, length)
    return head + _MASK + payload


def text_frame(text: str) -> bytes:
    return frame(TEXT, text.encode())


def close_frame(code: int, reason: str = "") -> bytes:
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


def request(path: str = "/communicate", **headers: str) -> bytes:
    """A handshake. ``headers`` are added, or take the place of the usual ones: ``Host="…"``."""
    lines = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


class RawClient:
    """One TCP connection. Make it with ``raw_client``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *pieces: bytes) -> None:
        """Write all pieces at once."""
        self._writer.write(b"".join(pieces))

    def say(self, *texts: str) -> None:
        """Write text messages, all at once."""
        self.send(*map(text_frame, texts))

    async def upgrade(self, path: str = "/communicate", **headers: str) -> Response:
        """Ask for a WebSocket. Whatever the answer is, it is returned."""
        self.send(request(path, **headers))
        return await self.response()

    async def response(self) -> Response:
        """The next HTTP response, with its body unless that follows a 101."""
        async with asyncio.timeout(ANSWER_S):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip().split("\r\n")
            pairs = (line.split(":", 1) for line in lines)
            headers = {name.lower(): value.strip() for name, value in pairs}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Response(int(first.split()[1]), headers, body.decode())

    async def receive(self) -> Frame:
        """The next frame, whatever it is."""
        async with asyncio.timeout(ANSWER_S):
            first, second = await self._reader.readexactly(2)
            assert not second & 0x80, "a server's frame is not masked (RFC 6455 section 5.1)"
            length = second & 0x7F
            if length == 126:
                [length] = struct.unpack("!H", await self._reader.readexactly(2))
            elif length == 127:
                [length] = struct.unpack("!Q", await self._reader.readexactly(8))
            return Frame(first & 0x0F, await self._reader.readexactly(length))

    async def texts(self, count: int) -> list[str]:
        """The next ``count`` frames, which must be texts."""
        frames = [await self.receive() for _ in range(count)]
        assert all(frame.opcode == TEXT for frame in frames), frames
        return [frame.text for frame in frames]

    async def rest(self) -> list[Frame]:
        """All frames up to the end of the connection, however it ends. A close is answered."""
        frames: list[Frame] = []
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                frames.append(await self.receive())
                if frames[-1].opcode == CLOSE:
                    self.send(frame(CLOSE, frames[-1].payload))
        return frames

    async def ended(self, within_s: float = ANSWER_S) -> None:
        """Read until the server has ended the TCP connection."""
        async with asyncio.timeout(within_s):
            with suppress(ConnectionError):
                while await self._reader.read(1 << 16):
                    pass

    @property
    def unsent_bytes(self) -> int:
        """What was sent and the kernel has not taken: the server does not read."""
        return self._writer.transport.get_write_buffer_size()

    def start_reading(self) -> None:
        self._writer.transport.resume_reading()  # type: ignore[attr-defined]  # as below

    def stop_reading(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a transport of both ways

    def end(self) -> None:
        """Send no more, without a closing handshake: a FIN."""
        self._writer.write_eof()

    def abort(self) -> None:
        """Reset the connection."""
        self._writer.transport.abort()


@asynccontextmanager
async def raw_client(port: int) -> AsyncIterator[RawClient]:
    """Connect to a port of loopback, with a small receive buffer; nothing is sent yet."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    plain.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=plain)
    except BaseException:
        plain.close()
        raise
    try:
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


@asynccontextmanager
async def raw_websocket(
    port: int, path: str = "/communicate", **headers: str
) -> AsyncIterator[RawClient]:
    """A raw client whose handshake has been accepted."""
    async with raw_client(port) as client:
        response = await client.upgrade(path, **headers)
        assert response.status == 101, response
        yield client


async def handshake(port: int, path: str = "/communicate", **headers: str) -> Response:
    """What the server answers to one handshake; the connection is given up afterwards."""
    async with raw_client(port) as client:
        return await client.upgrade(path, **headers)
