"""One run: a Redis, a peer and its clients, all in processes of their own, and what they used."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil

from benchmarks.peers.processes import ROOT
from benchmarks.runs import Load, Run
from gateway.redis_support.slots import slot_of
from tests.support.children import mortal
from tests.support.redis_cluster import RedisCluster
from tests.support.redis_server import RedisServer

QUIET_S = 0.5  # nchan shakes hands before it listens to the channel: what is said at once is lost
WARM_UP_S = 1.5  # of which nobody speaks for QUIET_S
ENOUGH_S = 10.0  # of loads that are done once, and then over
ONCE = ("subscribe", "recovery")
SETTLE_S = 12.0  # deadlines of handshakes are kept for ten seconds
LONGEST_S = 120.0  # without a word of the clients: 10,000 connections take their time
ANSWERED_WITHIN_S = 10.0


class ClientFailed(Exception):
    """A client process ended before it gave its figures. Tells what it wrote."""


@dataclass
class Figures:
    """What one run gave. Times are of the window only.

    Args:
        void: What was wrong. If anything was, there are no figures.
        cpu_us: CPU time for each answered message (or handshake, or push), by server.
        idle_bytes: Resident memory for each connection.
    """

    void: dict[str, int | str] = field(default_factory=dict)
    answers: int = 0
    per_s: float = 0.0
    cpu_us: dict[str, float] = field(default_factory=dict)
    total_cpu_us: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    idle_bytes: float = 0.0
    notes: str = ""


class Client:
    """A process of benchmarks.client. ``job`` is what it is told to do."""

    def __init__(self, stack: ExitStack, job: dict[str, Any]) -> None:
        self._process = stack.enter_context(_running(job))

    def wait_connected(self) -> None:
        if self._line() != "ready":
            raise ClientFailed("it said something else than that it is ready")

    def begin(self, begin: float, end: float) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{begin} {end}\n")
        self._process.stdin.flush()

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._line())
        return found

    def _line(self) -> str:
        """The next line.

        Raises:
            ClientFailed: There is none, or not in time.
        """
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], LONGEST_S)
        if not readable:
            raise ClientFailed(f"the client process said nothing for {LONGEST_S} s")
        line = self._process.stdout.readline().strip()
        if not line:
            raise ClientFailed(f"the client process ended with {self._process.wait(LONGEST_S)}")
        return line


@contextmanager
def _running(job: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    command = mortal([sys.executable, "-m", "benchmarks.client", json.dumps(job)])
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for whoever measures, who ends us
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_s(pids: Sequence[int]) -> float:
    return float(sum(sum(p.cpu_times()[:2]) for pid in pids for p in tree(pid)))


def resident_bytes(pids: Sequence[int]) -> int:
    return int(sum(p.memory_info().rss for pid in pids for p in tree(pid)))


def job(load: Load, urls: Sequence[str], dialect: str, first: int = 0) -> dict[str, Any]:
    """What benchmarks.client is told. ``first``: clients are numbered from here."""
    return {
        **asdict(load),
        "urls": list(urls),
        "dialect": dialect,
        "first": first,
        "answered_within_s": ANSWERED_WITHIN_S,
        "quiet_s": QUIET_S,
    }


def client_count(load: Load) -> int:
    """Client processes: more than one only where there are cores for them beside the servers."""
    if load.kind != "echo" or load.connections < 100 or load.per_s:
        return 1
    return min(4, max(1, (os.cpu_count() or 1) // 2))


def jobs(load: Load, urls: Sequence[str], dialect: str) -> list[dict[str, Any]]:
    if load.channels:
        return [job(load, urls, dialect) | {"channel": channel} for channel in load.channels]
    count = client_count(load)
    bounds = [load.connections * part // count for part in range(count + 1)]
    return [
        job(load, urls, dialect, low) | {"connections": high - low}
        for low, high in pairwise(bounds)
    ]


def sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def measure(run: Run, seconds: float) -> Figures:
    """Do this run once. Nothing of it is left behind."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "peer").mkdir()
        if run.masters:
            (folder / "cluster").mkdir()
            made = RedisCluster(folder / "cluster", masters=run.masters, replicas=0)
            cluster = stack.enter_context(made)
            redis_url, nodes = cluster.url, cluster.nodes
        else:
            broker = stack.enter_context(RedisServer(folder))
            redis_url, nodes = broker.url, [broker]
        started = run.peer.start(folder / "peer", redis_url, run.peer.processes)
        urls, pids = stack.enter_context(started)
        if run.masters:
            part_inboxes(cluster)
        servers = {"servers": pids, "redis": [node.pid for node in nodes]}
        return loaded(stack, run, urls, servers, seconds)


def part_inboxes(cluster: RedisCluster) -> None:
    """As many inboxes at each master: few workers would have theirs by chance."""
    found = {
        channel.decode()
        for node in cluster.nodes
        for channel in node.ask("PUBSUB", "SHARDCHANNELS", "*:inbox:*")
    }
    for number, inbox in enumerate(sorted(found)):
        cluster.move(slot_of(inbox), cluster.nodes[number % len(cluster.nodes)])


def loaded(
    stack: ExitStack, run: Run, urls: list[str], servers: dict[str, list[int]], seconds: float
) -> Figures:
    """Let the clients work, and watch the servers meanwhile."""
    empty_bytes = resident_bytes(servers["servers"])
    clients = [
        Client(stack, each | {"pids": servers["servers"]})
        for each in jobs(run.load, urls, run.peer.dialect)
    ]
    if run.load.kind == "recovery":  # what the first one used goes with its worker
        servers = servers | {"servers": servers["servers"][1:]}
    for client in clients:
        client.wait_connected()
    others = []
    if run.disturbance is not None:
        others.append(Client(stack, job(run.disturbance, urls, run.peer.dialect, 1_000_000)))
        others[0].wait_connected()
    idle = run.load.kind.startswith("idle")
    settle = SETTLE_S if idle and seconds >= 2 else WARM_UP_S
    begin = time.monotonic() + settle
    end = begin + (0.5 if idle else max(seconds, ENOUGH_S) if run.load.kind in ONCE else seconds)
    for client in (*clients, *others):
        client.begin(begin, end)
    sleep_until(begin)
    before = {name: cpu_s(pids) for name, pids in servers.items()}
    nodes_before = [cpu_s([pid]) for pid in servers["redis"]]
    grown = resident_bytes(servers["servers"]) - empty_bytes
    sleep_until(end)
    used = {name: cpu_s(pids) - before[name] for name, pids in servers.items()}
    nodes = [cpu_s([pid]) - was for pid, was in zip(servers["redis"], nodes_before, strict=True)]
    results = [client.result() for client in clients]
    for other in others:
        result = other.result()
        results.append(result | {"took_us": {}})  # what it did is no answer of ours
    if idle:
        faults = results[0]["faults"]
        return Figures(void=faults, idle_bytes=0 if faults else grown / run.load.connections)
    found = summed(results, used, results[0].get("lasted_s", end - begin))
    if run.masters and found.answers:
        each = ", ".join(f"{spent / found.answers * 1e6:.2f}" for spent in nodes)
        found.notes = "; ".join(filter(None, [found.notes, f"us at each master: {each}"]))
    return found


def summed(results: list[dict[str, Any]], used_s: dict[str, float], lasted_s: float) -> Figures:
    """Put the clients' results together. Any fault makes all of it void."""
    faults: Counter[str] = Counter()
    took_us: Counter[int] = Counter()
    for result in results:
        faults.update(result["faults"])
        took_us.update({int(us): count for us, count in result["took_us"].items()})
    notes = "; ".join(result["notes"] for result in results if result.get("notes"))
    answers = took_us.total()
    if faults:
        return Figures(void=dict(faults), notes=notes)
    if not answers:
        return Figures(void={"no answer": "nothing was answered in the window"}, notes=notes)
    by_server = {name: seconds / answers * 1e6 for name, seconds in used_s.items()}
    return Figures(
        answers=answers,
        per_s=answers / lasted_s,
        cpu_us=by_server,
        total_cpu_us=sum(by_server.values()),
        p50_ms=quantile(took_us, 0.5) / 1e3,
        p99_ms=quantile(took_us, 0.99) / 1e3,
        notes=notes,
    )


def quantile(took_us: Counter[int], part: float) -> int:
    """The smallest time that ``part`` of all reach."""
    wanted, seen = part * took_us.total(), 0
    for us in sorted(took_us):
        seen += took_us[us]
        if seen >= wanted:
            return us
    raise ValueError("there are no times")
