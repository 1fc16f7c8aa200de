"""A TCP proxy that delays, cuts and swallows: the network on a bad day."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType


class Proxy:
    """Passes bytes between clients and one server on loopback. An async context manager.

    Attributes:
        port: Where clients connect.
        delay_s: Added in each direction, to every piece.
        accepted: How many connections were taken so far.
    """

    def __init__(self, target_port: int, *, delay_s: float = 0.0) -> None:
        self.target_port = target_port
        self.delay_s = delay_s
        self.port = 0
        self.accepted = 0
        self._open = asyncio.Event()
        self._open.set()
        self._answers_open = asyncio.Event()
        self._answers_open.set()
        self._refusing = False
        self._refuses: Callable[[int], bool] | None = None
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def freeze(self) -> None:
        """Nothing passes any more; connections stay open and new ones are accepted."""
        self._open.clear()

    def freeze_answers(self) -> None:
        """What the server says does not pass any more; what clients say does."""
        self._answers_open.clear()

    def thaw(self) -> None:
        self._open.set()
        self._answers_open.set()

    def cut(self) -> None:
        """Reset every connection and refuse new ones."""
        self._refusing = True
        self.reset()

    def mend(self) -> None:
        self._refusing = False

    def refuse(self, who: Callable[[int], bool] | None) -> None:
        """Reset the connections of some, and refuse new ones; None lets all in again.

        Args:
            who: Given the port that a client has.
        """
        self._refuses = who
        if who is None:
            return
        for writer in list(self._writers):
            there = writer.get_extra_info("peername")
            if there is not None and there[1] != self.target_port and who(there[1]):
                writer.transport.abort()

    def reset(self) -> None:
        """Reset every connection; new ones are welcome."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing or (
            self._refuses and self._refuses(writer.get_extra_info("peername")[1])
        ):
            writer.transport.abort()
            return
        self.accepted += 1
        try:
            there_in, there_out = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, there_out}
        questions = self._pump(reader, there_out, self._open)
        answers = self._pump(there_in, writer, self._answers_open)
        for coroutine in (questions, answers):
            task = asyncio.create_task(coroutine)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_: asyncio.Event
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(1 << 16):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                await self._open.wait()
                await open_.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
        self._writers.discard(writer)
