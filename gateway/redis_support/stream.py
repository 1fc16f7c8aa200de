"""Who knows where Redis is, asked in few words: Sentinels, or the nodes of a Cluster."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import hiredis

from gateway.redis_support.reader import INCOMPLETE, BoundedReader

MAX_READ: Final = 1 << 16
# The slots of a Cluster, each a range of its own with two replicas, are 4 MB.
MAX_REPLY_BYTES: Final = 16 << 20

# What connecting raises. ValueError: DNS (UnicodeError) or TLS cannot have such a host.
UNCONNECTED: Final = (OSError, TimeoutError, ValueError)

REDIS_URL: Final = "redis_url"  # what an address is given by, where nothing else is known

Endpoint = tuple[str, int]
Command = tuple[str, ...]


class Place(NamedTuple):
    """One of those who are asked: a name may stand for many."""

    address: str
    port: int
    host: str  # as the URL has it, for its certificate


class Stream:
    """One connection: few words, and no hurry."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._bounded = BoundedReader(
            reply_error=hiredis.ReplyError, max_reply_bytes=MAX_REPLY_BYTES
        )
        self._early: list[Any] = []

    @classmethod
    async def open(cls, place: Place, tls: ssl.SSLContext | None) -> Stream:
        name = None if tls is None else place.host
        return cls(
            *await asyncio.open_connection(place.address, place.port, ssl=tls, server_hostname=name)
        )

    def send(self, *commands: Command) -> None:
        pack: Callable[[Any], bytes] = hiredis.pack_command
        self._writer.write(b"".join(pack(command) for command in commands))

    async def ask(self, *commands: Command) -> list[Any]:
        self.send(*commands)
        return [await self.read() for _ in commands]

    async def read(self) -> Any:
        while True:
            if self._early:
                return self._early.pop(0)
            if (reply := self._bounded.gets()) is not INCOMPLETE:
                return reply
            data = await self._reader.read(MAX_READ)
            if not data:
                raise ConnectionResetError("it has closed the connection")
            self._early = self._bounded.feed(data)

    def close(self) -> None:
        self._writer.transport.abort()
