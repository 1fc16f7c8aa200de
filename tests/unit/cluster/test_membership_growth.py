"""What a worker does when another comes or goes, by how many there are (``tests.support.fleet``).

Steps are lines of the gateway's code that are run, each turn of a loop for itself: of all workers
together, by their number.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import gateway
from gateway.protocol.deadlines import RENEWAL_S
from tests.support.fleet import Client, Fleet, run

GATEWAY = str(Path(gateway.__file__).parent)


class Steps:
    """A trace function that counts."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        return self._step if frame.f_code.co_filename.startswith(GATEWAY) else None

    def _step(self, _frame: FrameType, event: str, _arg: Any) -> Any:
        self.count += event == "line"
        return self._step


@contextmanager
def counted() -> Iterator[Steps]:
    steps, before = Steps(), sys.gettrace()
    sys.settrace(steps)
    try:
        yield steps
    finally:
        sys.settrace(before)


async def change(count: int) -> dict[str, float]:
    """One comes and one goes, of so many that have spoken with those that they talk to."""
    loop, fleet = asyncio.get_running_loop(), Fleet()
    await fleet.stand(count)
    clients = [Client(worker) for worker in fleet.workers]
    for client in clients:
        client.say()
    await asyncio.sleep(1.0)
    assert all(worker.idle for worker in fleet.workers)
    fleet.redis.asked.clear()
    with counted() as coming:
        fleet.arrive()
        took_s = await fleet.agree()
    with counted() as going:
        began_s = loop.time()
        await fleet.leave(fleet.workers[0])
        await fleet.agree()
        took_s += loop.time() - began_s
    asked = dict(fleet.redis.asked)
    await fleet.stop()
    return {
        "coming": coming.count / count,
        "going": going.count / count,
        "beside renewals": asked["look"] - took_s * count / RENEWAL_S,
        "PUBLISHes": asked["publish"],
    }


def test_what_a_worker_does_when_another_comes_or_goes_grows_no_more_than_the_fleet() -> None:
    """Red where each compares all with all, and where all look at the leases, or answer."""
    few, more, many = [cost_of(count) for count in (50, 100, 200)]

    for some, twice in ((few, more), (more, many)):
        assert twice["coming"] < 2.2 * some["coming"]
        assert twice["going"] < 2.2 * some["going"]
    for cost in (few, more, many):
        assert cost["PUBLISHes"] == 3  # that it comes, that it leaves, that it is gone
        assert cost["beside renewals"] <= 1  # the first look of the one that comes


def cost_of(count: int) -> dict[str, float]:
    costs: list[dict[str, float]] = []

    async def noted() -> None:
        costs.append(await change(count))

    run(noted())
    return costs[0]
