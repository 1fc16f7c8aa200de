"""A client of the Centrifuge protocol in JSON: what it sends is the test's choice."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

from tests.support.rawclient import CLOSE, RawClient, raw_websocket

PATH: Final = "/connection/websocket"

Message = dict[str, Any]


class Closed(Exception):
    """The server has closed, with this code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class CentrifugeClient:
    """One connection. Replies and pushes are taken in any order; each is seen once.

    Attributes:
        seen: Every message so far, in the order of arrival.
        frames: How many frames they came in.
    """

    def __init__(self, raw: RawClient) -> None:
        self.raw = raw
        self.id = ""
        self.seen: list[Message] = []
        self.frames = 0
        self._ids = itertools.count(1)
        self._waiting: deque[Message] = deque()

    def command(self, **request: Any) -> Message:
        """A command with an id of its own: ``command(subscribe={"channel": "a"})``."""
        return {"id": next(self._ids), **request}

    def say(self, *commands: Message) -> None:
        """Send these commands in one frame."""
        self.raw.say("\n".join(map(json.dumps, commands)))

    async def ask(self, **request: Any) -> Message:
        """Send one command; its reply."""
        command = self.command(**request)
        self.say(command)
        return await self.reply_to(command)

    async def reply_to(self, command: Message) -> Message:
        return await self.next(lambda message: message.get("id") == command["id"])

    async def push(self, kind: str) -> Message:
        """The next push of this kind: what is in ``push``."""
        found = await self.next(lambda message: kind in message.get("push", {}))
        return dict(found["push"])

    async def publication(self) -> Message:
        return dict((await self.push("pub"))["pub"])

    async def ping(self) -> None:
        """The next ping of the server's, which is not answered."""
        await self.next(lambda message: message == {})

    async def next(self, wanted: Callable[[Message], bool]) -> Message:
        """The oldest message that is wanted; the others are kept.

        Raises:
            Closed: The server closed instead.
        """
        for message in self._waiting:
            if wanted(message):
                self._waiting.remove(message)
                return message
        while True:
            await self._read()
            for message in list(self._waiting):
                if wanted(message):
                    self._waiting.remove(message)
                    return message

    async def closed(self) -> tuple[int, str]:
        """Read until the server closes; its code and reason."""
        try:
            while True:
                await self._read()
        except Closed as closed:
            return closed.code, closed.reason

    async def _read(self) -> None:
        frame = await self.raw.receive()
        if frame.opcode == CLOSE:
            raise Closed(*frame.closing)
        self.frames += 1
        messages = [json.loads(line) for line in frame.text.split("\n")]
        self.seen += messages
        self._waiting += messages

    async def connect(self, **request: Any) -> Message:
        """Connect; the result."""
        reply = await self.ask(connect=request)
        result: Message = reply["connect"]
        self.id = result["client"]
        return result

    async def subscribe(self, channel: str, **request: Any) -> Message:
        """Subscribe; the result."""
        reply = await self.ask(subscribe={"channel": channel, **request})
        result: Message = reply["subscribe"]
        return result


@asynccontextmanager
async def centrifuge_socket(
    port: int, path: str = PATH, **headers: str
) -> AsyncIterator[CentrifugeClient]:
    """A socket on which nothing has been said."""
    async with raw_websocket(port, path, **headers) as raw:
        yield CentrifugeClient(raw)


@asynccontextmanager
async def centrifuge_client(port: int, **request: Any) -> AsyncIterator[CentrifugeClient]:
    """A connected client."""
    async with centrifuge_socket(port) as client:
        await client.connect(**request)
        yield client
