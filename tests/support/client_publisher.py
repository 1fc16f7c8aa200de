"""A client that publishes on schedule, whatever comes of it, and knows what became of each."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from types import TracebackType

import msgspec

from tests.support.centrifuge_client import CentrifugeClient, Message, centrifuge_client
from tests.support.centrifuge_messages import Data
from tests.support.channel_ledger import ChannelLedger
from tests.support.waiting import eventually


class ClientPublisher:
    """Publishes to one channel through one socket, which has to last. A context manager.

    Args:
        serial: What its first publication is numbered, so that no other publisher has its numbers.

    Attributes:
        sent: How many it has published.
        acknowledged: The numbers of those that were answered without an error.
        refused: How many were answered with an error, by its code.
        slowest_s: The longest that an answer took.
    """

    def __init__(
        self,
        port: int,
        channel: str,
        ledger: ChannelLedger,
        *,
        serial: int,
        per_second: float = 20.0,
    ) -> None:
        self.channel = channel
        self.sent = 0
        self.acknowledged: set[int] = set()
        self.refused: Counter[int] = Counter()
        self.slowest_s = 0.0
        self._port = port
        self._ledger = ledger
        self._serial = serial
        self._interval_s = 1 / per_second
        self._loop = asyncio.get_running_loop()
        self._unanswered: dict[int, tuple[int, float]] = {}  # by id: its number, and when
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def works(self, within_s: float) -> None:
        """Wait until something is acknowledged that is published from now on."""
        last = self._serial
        await eventually(
            lambda: max(self.acknowledged, default=0) >= last, "an acknowledgement", within_s
        )

    async def stop(self, within_s: float) -> None:
        """Publish no more, and wait until everything is answered.

        Raises:
            Closed: The socket has not lasted.
        """
        sending, reading = self._tasks
        sending.cancel()
        await eventually(lambda: reading.done() or not self._unanswered, "all answers", within_s)
        if reading.done():
            reading.result()

    async def _send(self, client: CentrifugeClient) -> None:
        while True:
            now = self._loop.time()
            data = Data(self.channel, self._serial, now)
            command = client.command(
                publish={"channel": self.channel, "data": msgspec.to_builtins(data)}
            )
            self._unanswered[command["id"]] = (self._serial, now)
            self._serial += 1
            self.sent += 1
            client.say(command)
            await asyncio.sleep(self._interval_s)

    async def _read(self, client: CentrifugeClient) -> None:
        while True:
            message = await client.next(lambda _: True)
            if message:
                self._answered(message)
            else:
                client.say({})  # a ping

    def _answered(self, message: Message) -> None:
        serial, sent_at = self._unanswered.pop(message["id"])
        self.slowest_s = max(self.slowest_s, self._loop.time() - sent_at)
        if "error" in message:
            self.refused[message["error"]["code"]] += 1
            self._ledger.in_doubt += 1
        else:
            self.acknowledged.add(serial)
            self._ledger.published += 1

    async def __aenter__(self) -> ClientPublisher:
        client = await self._stack.enter_async_context(centrifuge_client(self._port))
        self._tasks = [
            asyncio.create_task(self._send(client)), asyncio.create_task(self._read(client)),
        ]  # fmt: skip
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._stack.aclose()
