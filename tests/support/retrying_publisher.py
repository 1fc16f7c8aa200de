"""A backend that publishes over HTTP, each publication again until it is told that it is done."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from types import TracebackType
from urllib.parse import quote

import httpx
import msgspec

from tests.support.centrifuge_messages import Data
from tests.support.channel_ledger import ChannelLedger
from tests.support.pusher import API_KEY
from tests.support.waiting import eventually

TRY_S = 1.5  # shorter than what a worker waits for Redis: the first may be under way yet
PAUSE_S = 0.2


class RetryingPublisher:
    """Publishes to one channel, asking any worker, each with a key of its own. A context manager.

    They overtake each other. None may be stored twice, however often it was asked for.

    Args:
        serial: What its first publication is numbered, so that no other publisher has its numbers.

    Attributes:
        sent: The numbers of all that it has published.
        acknowledged: Of those that were answered; at its end that is all.
        tried_again: How often nobody knew whether one was done.
        suppressed: How often one was answered that had been stored before.
    """

    def __init__(
        self,
        ports: Sequence[int],
        channel: str,
        ledger: ChannelLedger,
        *,
        serial: int,
        per_second: float = 10.0,
    ) -> None:
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()
        self.tried_again = 0
        self.suppressed = 0
        self._urls = itertools.cycle(
            [f"http://127.0.0.1:{port}/@channels/{quote(channel)}" for port in ports]
        )
        self._channel = channel
        self._ledger = ledger
        self._serials = itertools.count(serial)
        self._interval_s = 1 / per_second
        self._loop = asyncio.get_running_loop()
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {API_KEY}"}, timeout=TRY_S
        )
        self._publishing: set[asyncio.Task[None]] = set()
        self._running: asyncio.Task[None] | None = None

    async def stop(self, within_s: float) -> None:
        """Publish no more, and wait until everything is done."""
        await self._end({self._running} if self._running else set())
        await eventually(lambda: not self._publishing, "all that was published", within_s)

    async def _run(self) -> None:
        while True:
            task = asyncio.create_task(self._publish(next(self._serials)))
            self._publishing.add(task)
            task.add_done_callback(self._publishing.discard)
            await asyncio.sleep(self._interval_s)

    async def _publish(self, serial: int) -> None:
        self.sent.add(serial)
        body = msgspec.json.encode(Data(self._channel, serial, self._loop.time()))
        while not await self._try(serial, body):
            self.tried_again += 1
            await asyncio.sleep(PAUSE_S)

    async def _try(self, serial: int, body: bytes) -> bool:
        try:
            answer = await self._http.post(
                next(self._urls), content=body, headers={"Idempotency-Key": str(serial)}
            )
        except httpx.TransportError:
            return False
        if answer.status_code == 503:
            return False
        answer.raise_for_status()
        said = answer.json()
        self.suppressed += said["suppressed"]
        self.acknowledged.add(serial)
        self._ledger.stored(self._channel, (said["epoch"], said["offset"]), serial)
        return True

    @staticmethod
    async def _end(tasks: set[asyncio.Task[None]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> RetryingPublisher:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end(self._publishing | ({self._running} if self._running else set()))
        await self._http.aclose()
