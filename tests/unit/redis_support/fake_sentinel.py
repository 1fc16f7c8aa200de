"""A Sentinel that says what a test wants."""

from __future__ import annotations

import asyncio

import hiredis

from gateway.redis_support.sentinel_answers import Answer
from gateway.redis_support.stream import Endpoint

OLD: Endpoint = ("old", 6379)
NEW: Endpoint = ("new", 6379)


def master(primary: Endpoint, epoch: int) -> list[bytes]:
    facts = {"name": "main", "ip": primary[0], "port": primary[1], "config-epoch": epoch}
    return [str(word).encode() for pair in facts.items() for word in pair]


class FakeSentinel:
    """Answers SENTINEL MASTER with ``says``, or not at all while that is None."""

    def __init__(self) -> None:
        self.says: Answer | None = Answer(OLD, 1)
        self.quorum = b"+OK 3 usable Sentinels."  # to SENTINEL CKQUORUM
        self.error = b""
        self.delay_s = 0.0
        self.host: Endpoint = ("", 0)
        self.asked = 0
        self.listeners: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    def switch(self) -> None:
        """Tell whoever listens."""
        for listener in self.listeners:
            payload = b"main old 6379 new 6379"
            listener.write(b"*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n")
            listener.write(b"$%d\r\n%s\r\n" % (len(payload), payload))

    async def __aenter__(self) -> FakeSentinel:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.host = self._server.sockets[0].getsockname()[:2]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        commands = hiredis.Reader()
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        try:
            await self._answer(commands, reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(
        self, commands: hiredis.Reader, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(1 << 16):
            commands.feed(data)
            while (command := commands.gets()) is not False:
                if command[0] == b"SUBSCRIBE" and self.error:
                    writer.write(b"-" + self.error + b"\r\n")
                elif command[0] == b"SUBSCRIBE":
                    self.listeners.append(writer)
                elif command[0] == b"PING":
                    writer.write(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n")
                elif command[0] == b"AUTH":
                    writer.write(b"+OK\r\n")
                elif self.error:
                    writer.write(b"-" + self.error + b"\r\n")
                elif command[1] == b"CKQUORUM" and self.says is not None:
                    writer.write(self.quorum + b"\r\n")
                elif command[1] == b"MASTER" and self.says is not None:
                    self.asked += 1
                    await asyncio.sleep(self.delay_s)
                    words = master(self.says.primary, self.says.epoch)
                    writer.write(b"*%d\r\n" % len(words))
                    writer.write(b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
