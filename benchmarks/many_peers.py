"""What a routed message costs an edge, and Redis, by how many workers handle its messages.

    python -m benchmarks.many_peers --peers 4 50 200 --rate 5000
    python -m benchmarks.many_peers --peers 4 200 --rate 0 --subset 200

Real links over a real Redis: one edge in this process, all of its peers in another, each with links
and connections of its own. A message is a dispatch to one of them at random, and its reply; to one
of ``--subset`` of them, as an edge of many does (``gateway.protocol.subset``). CPU is that of the
process, so other work of the machine counts little; what waits does.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from gateway.broker.base import Resync
from gateway.broker.redis import RedisBroker
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import Dispatch, Reply
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.ids import ConnectionId, WorkerId, connection_id, worker_id
from gateway.protocol.subset import SUBSET
from gateway.redis_support.url import parse
from tests.support.redis_server import RedisServer

TEXT: Final = "x" * 64
WARM_S: Final = 1.0
CLIENTS: Final = 400


class Peer:
    """One worker's links, on connections of its own."""

    def __init__(self, url: str) -> None:
        self.broker = RedisBroker(parse(url))
        self.me = worker_id(random.randbytes(10))
        self.links = Links(
            self.me, self.broker, Counters(),
            channel_of=str, everyone="all", now=asyncio.get_running_loop().time,
        )  # fmt: skip

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        for _, payload in deliveries:
            self.links.receive(payload)

    def on_resync(self, resync: Resync) -> None:  # noqa: ARG002
        self.links.resync()

    def answer(self, edge: WorkerId, envelopes: Sequence[Envelope]) -> None:
        for envelope in envelopes:
            assert isinstance(envelope, Dispatch)
            self.links.send(
                edge, Reply(envelope.connection, envelope.number, envelope.attempt, envelope.text)
            )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Peer]:
        tasks = [asyncio.create_task(run) for run in (self.broker.run(self), self.links.run())]
        await self.broker.subscribe(self.me)
        try:
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def answering(url: str, count: int) -> None:
    """Be so many peers, and say who they are, until standard input ends."""
    async with AsyncExitStack() as stack:
        for _ in range(count):
            peer = await stack.enter_async_context(Peer(url).running())
            peer.links.deliver = peer.answer
            print(peer.me, flush=True)
        await asyncio.to_thread(sys.stdin.read)


@dataclass
class Load:
    """Messages of one edge.

    Args:
        rate: Messages a second; 0 for as many as ``clients`` make that wait for their answers each.
    """

    edge: Peer
    peers: Sequence[WorkerId]
    rate: int
    clients: int
    left_at: dict[int, float] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    number: int = 0

    def send(self) -> None:
        peer = random.choice(self.peers)
        self.number += 1
        self.left_at[self.number] = time.perf_counter()
        self.edge.links.send(peer, Dispatch(CONNECTION, self.number, 1, TEXT))

    def take(self, _peer: WorkerId, envelopes: Sequence[Envelope]) -> None:
        now = time.perf_counter()
        for envelope in envelopes:
            assert isinstance(envelope, Reply)
            self.took_s.append(now - self.left_at.pop(envelope.number))
            if not self.rate:
                self.send()

    async def run(self, seconds: float) -> None:
        if not self.rate:
            if not self.number:
                for _ in range(self.clients):
                    self.send()
            await asyncio.sleep(seconds)
            return
        begin, sent = time.perf_counter(), 0
        while (passed := time.perf_counter() - begin) < seconds:
            due = int(passed * self.rate) - sent
            for _ in range(due):
                self.send()
            sent += due
            await asyncio.sleep(0.0005)


CONNECTION: Final[ConnectionId] = connection_id(WorkerId("a" * 16), random.randbytes(16))


@dataclass(frozen=True)
class Cost:
    """Of one message there and back."""

    peers: int
    a_second: float
    edge_us: float
    redis_us: float
    publishes: float
    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return (
            f"{self.peers:5d} peers {self.a_second:7.0f}/s   edge {self.edge_us:5.1f} us   "
            f"Redis {self.redis_us:5.1f} us   {self.publishes:4.2f} PUBLISH   "
            f"p50 {self.p50_ms:6.2f} ms   p99 {self.p99_ms:6.2f} ms"
        )


async def measure(
    server: RedisServer, count: int, load: partial[Load], *, subset: int, seconds: float
) -> Cost:
    command = [sys.executable, "-m", "benchmarks.many_peers", "--answer", server.url, str(count)]
    others = subprocess.Popen(  # noqa: ASYNC220 (nothing else is to run meanwhile)
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert others.stdout is not None
    try:
        peers = [WorkerId(others.stdout.readline().strip()) for _ in range(count)]
        async with Peer(server.url).running() as edge:
            messages = load(edge, peers[:subset])
            edge.links.deliver = messages.take
            await messages.run(WARM_S)
            before = _read(server)
            messages.took_s.clear()
            await messages.run(seconds)
            spent = [now - then for now, then in zip(_read(server), before, strict=True)]
            took_s = sorted(messages.took_s)
    finally:
        others.communicate("")
    wall_s, edge_s, redis_s, publishes = spent
    answered = len(took_s)
    return Cost(
        count,
        answered / wall_s,
        1e6 * edge_s / answered,
        1e6 * redis_s / answered,
        publishes / answered,
        1e3 * took_s[answered // 2],
        1e3 * took_s[answered * 99 // 100],
    )


def _read(server: RedisServer) -> tuple[float, float, float, float]:
    """Seconds that passed, CPU of this process, CPU of Redis, PUBLISHes."""
    with server.client() as client:
        info: dict[str, Any] = client.info("cpu") | client.info("commandstats")
    redis_s = info["used_cpu_user"] + info["used_cpu_sys"]
    published = info.get("cmdstat_publish", {"calls": 0})["calls"]
    return time.perf_counter(), time.process_time(), redis_s, published


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_peers")
    parser.add_argument("--peers", type=int, nargs="+", default=[4, 50, 200])
    parser.add_argument("--rate", type=int, default=5000, help="messages a second; 0: saturating")
    parser.add_argument("--clients", type=int, default=CLIENTS, help="at once, if saturating")
    parser.add_argument("--subset", type=int, default=SUBSET, help="of them, that are talked to")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--answer", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.answer:
        url, count = asked.answer
        asyncio.run(answering(url, int(count)))
        return
    load = partial(Load, rate=asked.rate, clients=asked.clients)
    with tempfile.TemporaryDirectory() as folder, RedisServer(Path(folder)) as server:
        for count in asked.peers:
            cost = measure(server, count, load, subset=asked.subset, seconds=asked.seconds)
            print(asyncio.run(cost), flush=True)


if __name__ == "__main__":
    main()
