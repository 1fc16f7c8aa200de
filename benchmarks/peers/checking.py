"""Does a peer do what it is measured for? ``python -m benchmarks.peers.nchan`` and its like.

Clients send, wait for the answer, send the next, and compare: each gets its own messages back, in
order. Prints the CPU time of all server processes and Redis for a message. The measurements that
count are made by ``make bench``, interleaved; this is for one peer alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import psutil
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.peers.installing import Missing
from tests.support.redis_server import RedisServer

ANSWERED_WITHIN_S = 10.0
BYTES = 64
WARM_UP_S = 1.0


class Peer(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def dialect(self) -> str: ...
    @property
    def expected_us(self) -> float: ...
    @property
    def processes(self) -> int: ...
    def install(self) -> None: ...
    def versions(self) -> dict[str, str]: ...
    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> AbstractContextManager[tuple[list[str], list[int]]]: ...


class Client(WSListener):
    """Says one thing after the other and keeps what was wrong, and how long each answer took."""

    def __init__(self, number: int, dialect: str) -> None:
        self._number = number
        self._dialect = dialect
        self._said = 0
        self._sent = b""
        self._at = 0.0
        self._stopped = asyncio.Event()
        self.open = asyncio.Event()
        self.going = True
        self.took: list[float] = []
        self.wrong: list[bytes] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self._dialect == "plain":
            self.open.set()

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            text = frame.get_payload_as_bytes()
            if self._dialect == "plain" or text[:2] == b"42":
                self._answered(text)
            else:
                self._converse(text)

    async def stop(self) -> None:
        """Wait for the last answer."""
        self.going = False
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await self._stopped.wait()

    def say(self) -> None:
        self._said += 1
        text = f"{self._number}:{self._said}:".ljust(BYTES, "x")
        self._sent = (text if self._dialect == "plain" else "42" + _event(text)).encode()
        self._at = time.perf_counter()
        self._transport.send(WSMsgType.TEXT, self._sent)

    def _answered(self, text: bytes) -> None:
        self.took.append(time.perf_counter() - self._at)
        if text != self._sent:
            self.wrong.append(text)
        if self.going:
            self.say()
        else:
            self._stopped.set()

    def _converse(self, text: bytes) -> None:
        """Engine.IO: its open packet (0), Socket.IO's connect (40), and pings (2)."""
        if text[:1] == b"0":
            self._transport.send(WSMsgType.TEXT, b"40")
        elif text[:2] == b"40":
            self.open.set()
        elif text == b"2":
            self._transport.send(WSMsgType.TEXT, b"3")


def _event(text: str) -> str:
    return json.dumps(["msg", text], separators=(",", ":"))


async def connect(url: str, number: int, dialect: str) -> Client:
    address = url.replace("{client}", f"client-{number}")
    _, client = await ws_connect(lambda: Client(number, dialect), address, enable_auto_pong=True)
    assert isinstance(client, Client)
    async with asyncio.timeout(ANSWERED_WITHIN_S):
        await client.open.wait()
    return client


def cpu_s(pids: list[int]) -> float:
    roots = [psutil.Process(pid) for pid in pids]
    all_of_them = roots + [child for root in roots for child in root.children(recursive=True)]
    return sum(sum(process.cpu_times()[:2]) for process in all_of_them)


async def measure(
    peer: Peer, urls: list[str], pids: list[int], connections: int, seconds: float
) -> str:
    clients = [
        await connect(urls[number % len(urls)], number, peer.dialect)
        for number in range(connections)
    ]
    for client in clients:
        client.say()
    await asyncio.sleep(WARM_UP_S)
    for client in clients:
        client.took.clear()
    before, began = cpu_s(pids), time.perf_counter()
    await asyncio.sleep(seconds)
    used, lasted = cpu_s(pids) - before, time.perf_counter() - began
    took = sorted(each for client in clients for each in client.took)
    await asyncio.gather(*(client.stop() for client in clients))
    wrong = [text for client in clients for text in client.wrong]
    if wrong or not took:
        raise SystemExit(f"{peer.name}: void, {len(wrong)} wrong answers, such as {wrong[:1]}")
    return (
        f"{peer.name:26} {connections:5} connections {len(took) / lasted:8.0f} /s "
        f"{used / len(took) * 1e6:7.1f} us (expected {peer.expected_us:.0f})  "
        f"p50 {took[len(took) // 2] * 1e3:.2f} ms  p99 {took[int(len(took) * 0.99)] * 1e3:.2f} ms"
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
