"""What a PUBLISH costs a Redis to which many publish, each time one message to one inbox.

    python -m benchmarks.publishes --rates 2000 20000 50000 100000

As many connections publish as subscribe, and nothing is sent together: the worst that a routed
message can cost, which is two of these. CPU is that of Redis.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import tempfile
import time
from asyncio import StreamReader, StreamWriter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import hiredis
import uvloop

from tests.support.redis_server import RedisServer

SECONDS: Final = 5.0
BODY: Final = b"x" * 250  # a batch of one message


def inbox(worker: int) -> bytes:
    return b"gw:{%d}:inbox" % worker


async def read_on(reader: StreamReader) -> None:
    while await reader.read(1 << 20):
        pass


async def connected(stack: AsyncExitStack, server: RedisServer) -> StreamWriter:
    """A connection of which all that comes is read."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    stack.callback(writer.close)
    reading = asyncio.create_task(read_on(reader))
    stack.callback(reading.cancel)
    return writer


def spent_s(server: RedisServer) -> float:
    with server.client() as client:
        cpu = client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


async def measure(server: RedisServer, workers: int, rate: int) -> str:
    async with AsyncExitStack() as stack:
        publishers = [await connected(stack, server) for _ in range(workers)]
        for worker in range(workers):
            subscriber = await connected(stack, server)
            subscriber.write(hiredis.pack_command((b"SUBSCRIBE", inbox(worker))))
            await subscriber.drain()
        published, began, before = 0, time.perf_counter(), spent_s(server)
        while (passed := time.perf_counter() - began) < SECONDS:
            due = int(passed * rate) - published
            for _ in range(due):
                to = inbox(random.randrange(workers))
                command = hiredis.pack_command((b"PUBLISH", to, BODY))
                random.choice(publishers).write(command)
            published += due
            await asyncio.sleep(0.001)
        spent = spent_s(server) - before
    return (
        f"{published / passed:7,.0f} PUBLISH/s of {rate:7,d} asked for: "
        f"{1e6 * spent / published:.1f} us each, {spent / passed:.2f} of a core"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.publishes")
    parser.add_argument("--rates", type=int, nargs="+", default=[2_000, 20_000, 50_000, 100_000])
    parser.add_argument("--workers", type=int, default=184)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        for rate in arguments.rates:
            print(uvloop.run(measure(server, arguments.workers, rate)), flush=True)


if __name__ == "__main__":
    main()
