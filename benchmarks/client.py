"""The clients of a run, in a process of their own: ``python -m benchmarks.client JOB`` (JSON).

It connects, prints ``ready``, reads ``<begin> <end>`` (monotonic seconds, the same in all
processes of a machine), does its work, counts what is answered in between, and prints one line of
JSON: ``took_us`` (microseconds to how often), ``faults`` (what was wrong to how often), and
``notes`` for people.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

from benchmarks import floods, other_loads
from benchmarks.fanout import clients
from benchmarks.fanout.crowd import Crowd
from benchmarks.talking import Window, connected, hear_out, talk

Job = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


async def told(window: Window) -> None:
    """Say that we are ready, and wait until we are told when to work."""
    print("ready", flush=True)
    line = await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    if not line:
        raise SystemExit("whoever measures is gone")
    window.begin, window.end = map(float, line.split())


async def echo(job: dict[str, Any]) -> dict[str, Any]:
    """Everybody speaks."""
    window = Window(answered_within_s=job["answered_within_s"])
    talkers = await connected(job, window)
    await told(window)
    await asyncio.sleep(job["quiet_s"])
    return await talk(talkers, window, job["per_s"])


async def idle(job: dict[str, Any]) -> dict[str, Any]:
    """Nobody speaks; at the end all must still be served."""
    window = Window()
    talkers = await connected(job, window)
    await told(window)
    await asyncio.sleep(max(0.0, window.end - time.monotonic()))
    for talker in talkers[:: max(1, len(talkers) // 100)]:
        talker.say(time.monotonic())
    return await hear_out(talkers, window)


async def push(job: dict[str, Any]) -> dict[str, Any]:
    """POST to the clients, each of which must get what was written to it, once."""
    window = Window()
    crowd = await other_loads.Crowd.connected(job)
    await told(window)
    return await crowd.pushed_to(window, job["at_once"])


async def connect(job: dict[str, Any]) -> dict[str, Any]:
    """Open and close: as fast as it goes, or on a schedule."""
    window = Window()
    await told(window)
    return await other_loads.open_and_close(job, window)


async def slow(job: dict[str, Any]) -> dict[str, Any]:
    """Say much, read nothing."""
    window = Window()
    await told(window)
    return await other_loads.read_nothing(job, window)


async def flood(job: dict[str, Any]) -> dict[str, Any]:
    """Send without a pause, and without regard to what is allowed."""
    window = Window()
    await told(window)
    return await floods.flood(job, window)


async def fanout(job: dict[str, Any]) -> dict[str, Any]:
    """Publish to many, who must all get each publication once and in order."""
    window = Window(answered_within_s=job["answered_within_s"])
    crowd = Crowd(job, window)
    await crowd.enter()
    await told(window)
    await asyncio.sleep(job["quiet_s"])
    return await crowd.publish()


async def subscribe(job: dict[str, Any]) -> dict[str, Any]:
    """Connected clients subscribe."""
    window = Window()
    crowd = await clients.connected(job, job["urls"])
    await told(window)
    return await clients.subscribe_all(job, crowd, window)


async def recovery(job: dict[str, Any]) -> dict[str, Any]:
    """A worker is killed, and all its clients recover through another one."""
    window = Window()
    crowd = await clients.connected(job, job["urls"][:1])
    await told(window)
    return await clients.recover_all(job, crowd, window)


async def idle_channels(job: dict[str, Any]) -> dict[str, Any]:
    """Subscribers to whom nothing is told."""
    window = Window()
    crowd = await clients.connected(job, job["urls"])
    await clients.subscribe_each(crowd, job["at_once"])
    await told(window)
    return await clients.rest(job, crowd, window)


JOBS: dict[str, Job] = {
    "echo": echo, "idle": idle, "push": push, "connect": connect, "slow": slow,
    "flood": flood, "fanout": fanout,
    "subscribe": subscribe, "recovery": recovery, "idle-channels": idle_channels,
}  # fmt: skip


async def main() -> None:
    job = json.loads(sys.argv[1])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(await JOBS[job["kind"]](job)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
