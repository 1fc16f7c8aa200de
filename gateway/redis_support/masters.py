"""One part of something for each master of a Cluster: made as a master is met, ended with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar

from gateway.redis_support.address import RedisAddress
from gateway.redis_support.cluster import ClusterMap, Moved
from gateway.redis_support.slots import SLOTS
from gateway.redis_support.stream import Endpoint

P = TypeVar("P")


class Masters(Generic[P]):
    """The parts of the masters that have slots now.

    Args:
        address: Of a Cluster.
        make: A part, of the address of its master.
        run: Keeps one up until cancelled.

    Attributes:
        changed: Called after parts were made and before others end: what they have can be taken.
            Told the slots that have another part, each with the master of before.
    """

    def __init__(
        self,
        address: RedisAddress,
        make: Callable[[RedisAddress], P],
        run: Callable[[P], Coroutine[Any, Any, None]],
    ) -> None:
        assert address.cluster is not None
        self.cluster: ClusterMap = address.cluster
        self.changed: Callable[[Moved], None] = lambda _moved: None
        self._address = address
        self._make, self._run = make, run
        self._parts: dict[Endpoint, P] = {}
        self._tasks: dict[Endpoint, asyncio.Task[None]] = {}
        self._failed: asyncio.Future[None] | None = None  # while it runs

    def __iter__(self) -> Iterator[P]:
        """Those of the masters that have slots now."""
        masters = self.cluster.masters
        return iter([part for master, part in self._parts.items() if master in masters])

    @property
    def everyone(self) -> list[P]:
        """Also those of masters that have just lost their last slot."""
        return list(self._parts.values())

    def at(self, master: Endpoint) -> P | None:
        """The part of this master; None while there is none."""
        return self._parts.get(master)

    def of(self, key: str | bytes) -> P | None:
        """The part of whoever has this key or channel; None while that is unknown."""
        owner = self.cluster.owner_of(key)
        return None if owner is None else self._parts.get(owner)

    def of_slot(self, slot: int) -> P | None:
        """The same, of a slot."""
        owner = self.cluster.owner(slot)
        return None if owner is None else self._parts.get(owner)

    async def run(self) -> None:
        """Keep up all parts until cancelled. Raises what one of them raises."""
        self._failed = asyncio.get_running_loop().create_future()
        self.cluster.when_changed(self._follow)
        try:
            self._follow(dict.fromkeys(range(SLOTS)))
            await self._failed
        finally:
            self.cluster.no_longer(self._follow)
            self._failed = None
            tasks, self._tasks = self._tasks, {}
            for task in tasks.values():
                task.cancel()
            if tasks:
                await asyncio.wait(tasks.values())

    def _follow(self, moved: Moved) -> None:
        masters = self.cluster.masters
        for master in masters:
            if master not in self._parts:
                self._parts[master] = self._make(self._address.at(master))
            if master not in self._tasks:
                task = asyncio.create_task(self._run(self._parts[master]), name="redis master")
                task.add_done_callback(self._ended)
                self._tasks[master] = task
        self.changed(moved)
        for master in [master for master in self._parts if master not in masters]:
            del self._parts[master]
            self._tasks.pop(master).cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and self._failed is not None and not self._failed.done():
            error = task.exception()
            if error is not None:
                self._failed.set_exception(error)
