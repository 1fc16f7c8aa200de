"""A backend beside the workers of a compose stack: it publishes, and knows where each line is."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.channel_ledger import ChannelLedger
from tests.support.waiting import eventually

STOPPED_S = 30.0
PER_SECOND = 20.0

# Runs in a container, where Redis can be reached; ends when its standard input does. What nobody
# can know is published again, under the same key.
_SCRIPT = """
import asyncio, json, os, sys, time
import gateway

channel, pause_s = sys.argv[1], 1 / float(sys.argv[2])

async def main():
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    async with gateway.client(os.environ["GATEWAY_REDIS_URL"]) as client:
        serial = 0
        while not over.done():
            serial += 1
            data = {"c": channel, "n": serial, "t": time.monotonic(),
                    "name": "backend", "text": f"line {serial}"}
            while True:
                try:
                    done = await client.publish(channel, data, idempotency_key=f"line {serial}")
                    break
                except gateway.BrokerUnavailable as error:
                    print(json.dumps({"failed": str(error)}), flush=True)
                    if over.done():
                        return
                    await asyncio.sleep(0.2)
            print(json.dumps({"n": serial, "place": [done.epoch, done.offset]}), flush=True)
            await asyncio.sleep(pause_s)

asyncio.run(main())
"""


class Backend:
    """Says ``line 1``, ``line 2``, … in a channel. Make it with ``backend``.

    Attributes:
        published: The newest line that is known to be published, with all before it.
        failures: What it was told when nobody could know.
    """

    def __init__(self, channel: str, ledger: ChannelLedger, process: Process) -> None:
        self.published = 0
        self.failures: list[str] = []
        self._channel = channel
        self._ledger = ledger
        self._process = process
        self._reading = asyncio.create_task(self._read())

    async def goes_on(self, lines: int, within_s: float = 20.0) -> None:
        """Wait until it has published so many more."""
        wanted = self.published + lines
        await eventually(lambda: self.published >= wanted, f"line {wanted}", within_s)

    async def stop(self) -> None:
        """Wait until what it says last is published."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        async with asyncio.timeout(STOPPED_S):
            await self._reading
            assert await self._process.wait() == 0

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "failed" in told:
                self.failures.append(told["failed"])
                continue
            epoch, offset = told["place"]
            self.published = told["n"]
            self._ledger.stored(self._channel, (epoch, offset), told["n"])

    async def abandon(self) -> None:
        if self._process.returncode is None:
            self._process.kill()  # its script ends with its input
            await self._process.wait()
        self._reading.cancel()
        await asyncio.wait({self._reading})


@asynccontextmanager
async def backend(
    container: str, channel: str, ledger: ChannelLedger, *, per_second: float = PER_SECOND
) -> AsyncIterator[Backend]:
    """Publish from inside this container, until it is stopped."""
    process = await asyncio.create_subprocess_exec(
        "docker", "exec", "--interactive", container,
        "python", "-c", _SCRIPT, channel, str(per_second),
        stdin=PIPE, stdout=PIPE,
    )  # fmt: skip
    running = Backend(channel, ledger, process)
    try:
        yield running
    finally:
        await running.abandon()
