"""Where a node of a Cluster is: the master of one slot, wherever that goes, or one and the same."""

from __future__ import annotations

from collections.abc import Callable

from gateway.redis_support.cluster import ClusterMap, Moved
from gateway.redis_support.stream import Endpoint


class SlotMaster:
    """Where the master of one slot is.

    Args:
        on_switch: Called at once when it is another.
    """

    def __init__(self, cluster: ClusterMap, slot: int, on_switch: Callable[[], None]) -> None:
        self._cluster, self._slot = cluster, slot
        self._on_switch = on_switch
        self._last = cluster.owner(slot)
        cluster.when_changed(self._changed)

    @property
    def primary(self) -> Endpoint | None:
        return self._cluster.owner(self._slot)

    async def locate(self) -> Endpoint:
        return await self._cluster.locate(self._slot)

    def locate_blocking(self, *, deadline_s: float) -> Endpoint:
        return self._cluster.locate_blocking(self._slot, deadline_s=deadline_s)

    def _changed(self, moved: Moved) -> None:
        if self._slot not in moved:
            return
        now = self.primary
        if now is None:
            return  # connections stand, and whoever has it next is another than they are to
        before, self._last = self._last, now
        if before not in (None, now):
            self._on_switch()


class OneMaster:
    """One master, wherever slots go. Who cannot connect to it doubts the map."""

    def __init__(self, cluster: ClusterMap, primary: Endpoint) -> None:
        self.primary = primary
        self._cluster = cluster
        self._located = False

    async def locate(self) -> Endpoint:
        if self._located:
            self._cluster.doubt()
        self._located = True
        return self.primary

    def locate_blocking(self, *, deadline_s: float) -> Endpoint:  # noqa: ARG002
        return self.primary
