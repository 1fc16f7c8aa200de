"""What a push costs: ``python -m benchmarks.push [SECONDS]``.

Two workers share a Redis. One client sends POST /@connections/{id} over a few kept-alive
connections, first to the worker that holds the socket (one worker at work), then to the other one
(two workers and Redis). Every push is checked: it must arrive once. CPU is that of all server
processes, workers and Redis.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psutil

from tests.support.crowd import Crowd
from tests.support.pusher import API_KEY, Channel
from tests.support.redis_server import RedisServer
from tests.support.serve import Served

CLIENTS = 100
CHANNELS = 32
SECONDS = 5.0


def cpu_s(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


async def push_all(ports: list[int], connections: list[str], seconds: float) -> list[float]:
    """Push as fast as answers come. Returns how long each took."""
    took: list[float] = []
    end = time.perf_counter() + seconds

    async def one(number: int) -> None:
        channel = await Channel.open(ports[number % len(ports)])
        while (began := time.perf_counter()) < end:
            target = connections[len(took) % len(connections)]
            status = await channel.post(f"/@connections/{target}", "x" * 64)
            if status != 200:
                raise SystemExit(f"void: a push was answered with {status}")
            took.append(time.perf_counter() - began)
        channel.close()

    await asyncio.gather(*(one(number) for number in range(CHANNELS)))
    return took


async def case(title: str, asked: Served, holder: Served, servers: list[psutil.Process]) -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    async with Crowd([holder.ws_url], CLIENTS) as crowd:
        connections = [visitor.connection for visitor in crowd.visitors]
        before = cpu_s(servers)
        took = sorted(await push_all([asked.port], connections, seconds))
        used = cpu_s(servers) - before
        arrived = sum(visitor.pushed for visitor in crowd.visitors)
    if arrived != len(took):
        raise SystemExit(f"void: {len(took)} pushes were written and {arrived} arrived")
    p50_ms, p99_ms = (took[len(took) * part // 100] * 1e3 for part in (50, 99))
    print(
        f"{title}: {len(took) / seconds:.0f} requests/s, {used / len(took) * 1e6:.0f} us of CPU "
        f"each, p50 {p50_ms:.1f} ms, p99 {p99_ms:.1f} ms"
    )


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        redis = stack.enter_context(RedisServer(folder))
        environment = {
            "GATEWAY_REDIS_URL": redis.url,
            "GATEWAY_TRACE": "on",
            "GATEWAY_API_KEYS": API_KEY,
            "GATEWAY_DRAIN_SECONDS": "1",
        }
        a, b = (
            stack.enter_context(Served(folder / name, environment=environment)) for name in "ab"
        )
        workers = [psutil.Process(pid) for served in (a, b) for pid in served.worker_pids()]
        servers = [*workers, psutil.Process(redis.pid)]
        asyncio.run(case("through the worker that holds the socket", a, a, servers))
        asyncio.run(case("through another worker", b, a, servers))


if __name__ == "__main__":
    main()
