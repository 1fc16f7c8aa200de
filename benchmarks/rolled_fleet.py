"""Twenty workers of a machine, replaced one after another under load.

    python -m benchmarks.rolled_fleet --workers 20

Each is a ``gateway serve`` on a port of its own, with all roles; clients are spread over all of
them, and each of their messages is numbered, answered and accounted for. Says what became of them,
and what the fleet cost Redis. The machine need not be quiet: CPU is that of processes.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.support.crowd import Crowd, Ledger
from tests.support.redis_server import RedisServer
from tests.support.serve import Served
from tests.support.stand import Stand, a_stand
from tests.support.waiting import eventually

READY_WITHIN_S = 60.0
GONE_WITHIN_S = 60.0


@dataclass(frozen=True)
class Spent:
    """Of Redis, since it was started: CPU, PUBLISHes, and renewals, each of them a look."""

    at_s: float
    cpu_s: float
    publishes: int
    renewals: int

    def since(self, before: Spent, workers: int) -> str:
        took_s = self.at_s - before.at_s
        renewals = self.renewals - before.renewals
        return (
            f"{took_s:.0f} s, Redis {100 * (self.cpu_s - before.cpu_s) / took_s:.1f} % of a core, "
            f"{(self.publishes - before.publishes) / took_s:.0f} PUBLISH/s, {renewals} looks, "
            f"{renewals / took_s:.1f}/s ({workers / 3:.1f}/s are renewals)"
        )


def spent(redis: RedisServer) -> Spent:
    with redis.client() as client:
        info = client.info("cpu") | client.info("commandstats")
    # Two ranges of each renewal, and one of the look that comes with it: lease_renew, lease_look.
    ranges = info["cmdstat_zrange"]["calls"]
    cpu_s = info["used_cpu_user"] + info["used_cpu_sys"]
    return Spent(time.monotonic(), cpu_s, info["cmdstat_publish"]["calls"], ranges // 3)


async def replace(served: Served) -> None:
    [old] = served.worker_pids()
    served.signal(signal.SIGHUP)
    await eventually(
        lambda: served.worker_pids() and old not in served.worker_pids(), "another", GONE_WITHIN_S
    )


async def measure(stand: Stand, workers: int, clients: int, per_second: float) -> Ledger:
    starting = [stand.serve(environment={"GATEWAY_DRAIN_SECONDS": "1"}) for _ in range(workers)]
    for four in range(0, workers, 4):
        await asyncio.gather(*starting[four : four + 4])
    urls = [served.ws_url for served in stand.served]
    async with Crowd(urls, clients, per_second=per_second / clients) as crowd:
        crowd.start_sending()
        calm = spent(stand.redis)
        await crowd.send_for(5)
        begin = spent(stand.redis)
        print(f"nobody comes or goes: {begin.since(calm, workers)}", flush=True)
        for served in stand.served:
            await replace(served)
        print(f"all are replaced: {spent(stand.redis).since(begin, workers)}", flush=True)
        await crowd.send_for(1)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)
    return ledger


async def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rolled_fleet")
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rate", type=float, default=200.0, help="messages a second, of all")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as redis:
        async with a_stand(redis, Path(folder)) as stand:
            ledger = await measure(stand, asked.workers, asked.clients, asked.rate)
            buried = sum(len(served.events("worker died")) for served in stand.served)
    print(ledger.table(f"{asked.workers} workers"))
    print(f"broken: {ledger.broken or 'nothing'}; declared dead: {buried}")


if __name__ == "__main__":
    asyncio.run(main())
