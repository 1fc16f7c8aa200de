"""Does a peer do what it is measured for? ``python -m benchmarks.peers.nchan`` and its like.

Clients send, wait for the answer, send the next, and compare: each gets its own messages back, in
order. Prints the CPU time of all server processes and Redis for a message. The measurements that
count are made by ``make bench``, interleaved; this is for one peer alone.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import uvloop

from benchmarks.peer import Peer
from benchmarks.peers.installing import Missing
from benchmarks.talking import Window, connected, talk
from tests.support.redis_server import RedisServer

BYTES = 64
WARM_UP_S = 1.0


def cpu_s(pids: list[int]) -> float:
    roots = [psutil.Process(pid) for pid in pids]
    all_of_them = roots + [child for root in roots for child in root.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in all_of_them)


async def used_cpu_s(pids: list[int], window: Window) -> float:
    await asyncio.sleep(window.begin - time.monotonic())
    before = cpu_s(pids)
    await asyncio.sleep(window.end - time.monotonic())
    return cpu_s(pids) - before


async def measure(
    peer: Peer, urls: list[str], pids: list[int], connections: int, seconds: float
) -> str:
    """One line of figures. Exits if an answer was lost, doubled, altered or another's."""
    job: dict[str, Any] = {
        "urls": urls,
        "dialect": peer.dialect,
        "first": 0,
        "connections": connections,
        "size_bytes": BYTES,
    }
    window = Window()
    talkers = await connected(job, window)
    window.begin = time.monotonic() + WARM_UP_S
    window.end = window.begin + seconds
    heard, used_s = await asyncio.gather(talk(talkers, window, per_s=0), used_cpu_s(pids, window))
    took_us = sorted(window.took_us.elements())
    if heard["faults"] or not took_us:
        raise SystemExit(f"{peer.name}: void: {heard['faults'] or 'no answer at all'}")
    return (
        f"{peer.name:26} {connections:5} connections {len(took_us) / seconds:8.0f} /s "
        f"{used_s / len(took_us) * 1e6:7.1f} us (expected {peer.expected_us})  "
        f"p50 {took_us[len(took_us) // 2] / 1e3:.2f} ms  "
        f"p99 {took_us[int(len(took_us) * 0.99)] / 1e3:.2f} ms"
    )


def main(*peers: Peer) -> None:
    """The command line of the modules beside this one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(p.name for p in peers))
    parser.add_argument("--connections", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args()
    for peer in peers:
        if options.names and peer.name not in options.names:
            continue
        try:
            peer.install()
        except Missing as lacking:
            raise SystemExit(f"{peer.name}: {lacking}") from None
        with (
            tempfile.TemporaryDirectory() as name,
            RedisServer(Path(name)) as broker,
            peer.start(Path(name), broker.url, peer.processes) as (urls, pids),
        ):
            print(peer.versions(), flush=True)
            servers = [*pids, broker.pid]
            figures = measure(peer, urls, servers, options.connections, options.seconds)
            print(uvloop.run(figures), flush=True)
