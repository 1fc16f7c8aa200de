"""Which master has which slot of a Cluster: whom to believe, and whom to tell of a change."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.redis_support.asking import looked_at
from gateway.redis_support.cluster_nodes import ClusterNodes
from gateway.redis_support.slots import SLOTS, Sight, read_redirect, slot_of
from gateway.redis_support.stream import Endpoint

log = get_logger(__name__)

ASK_INTERVAL_S: Final = 2.0
ASK_PAUSE_S: Final = 0.1  # between two questions that failures lead to, and more
DOUBT_SHARE: Final = 0.05  # where failures go on: this part of the time for which they have
FRESH_S: Final = 0.5  # a connection is made without asking before
TOLD_S: Final = 5.0  # a redirection is newer than what other nodes say meanwhile
MAX_OLDER: Final = 3  # sights of an older configuration that are passed over in a row

# Slots that have another master than before, each with the one of before.
Moved = Mapping[int, Endpoint | None]


class ClusterMap:
    """The masters of a Cluster and their slots, as far as is known now.

    Belongs to one event loop, but for ``locate_blocking``.

    Args:
        nodes: Who is asked.

    Attributes:
        masters: That have slots.
        uncovered: How many slots nobody has.
    """

    def __init__(self, nodes: ClusterNodes, *, now: Callable[[], float] = time.monotonic) -> None:
        self.nodes = nodes
        self.masters: frozenset[Endpoint] = frozenset()
        self._now = now
        self._owners: list[Endpoint | None] = [None] * SLOTS
        self._nodes: frozenset[Endpoint] = frozenset()
        self._epoch = 0
        self._older = 0
        self._told: dict[int, tuple[Endpoint, float]] = {}  # by redirections, and until when
        self._seen_at = float("-inf")
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._soon: asyncio.Task[None] | None = None
        self._soon_at = float("inf")
        self._doubted_since = self._doubted_at = float("-inf")
        self._listeners: list[Callable[[Moved], None]] = []
        self._redirected: dict[int, Endpoint] = {}  # within this turn of the loop
        self.uncovered = 0

    @property
    def silent(self) -> bool:
        """Whether no node said anything when they were asked last."""
        return self.nodes.silent

    def when_changed(self, changed: Callable[[Moved], None]) -> None:
        """Call ``changed`` whenever a slot has another master, or a master has slots no more.

        Until then whoever asks is told the master of before.
        """
        self._listeners.append(changed)

    def no_longer(self, changed: Callable[[Moved], None]) -> None:
        """Call it no more."""
        self._listeners.remove(changed)

    def owner(self, slot: int) -> Endpoint | None:
        """The master of a slot; None while that is unknown, or there is none."""
        return self._owners[slot]

    def owner_of(self, key: str | bytes) -> Endpoint | None:
        """The master of a key or channel."""
        return self._owners[slot_of(key)]

    async def refresh(self) -> None:
        """Ask now. Callers at the same time share one question.

        Raises:
            BrokerUnavailable: No node says.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._refresh(), name="cluster asked")
            self._asking.add_done_callback(looked_at)
        await asyncio.shield(self._asking)

    def doubt(self, *, anew: bool = False) -> None:
        """Something that was done by this map has failed: ask soon.

        A master that stays away fails whoever tries, several times a second at each worker. So the
        longer that goes on without a change, the longer is the pause between two questions.

        Args:
            anew: This is known to come of a change.
        """
        now = self._now()
        if anew or now - self._doubted_at > ASK_INTERVAL_S:
            self._doubted_since = now
        self._doubted_at = now
        ask_at = self._asked_at + self._pause_s
        if self._soon is not None and not self._soon.done():
            if self._soon_at <= ask_at:
                return
            self._soon.cancel()
        self._soon_at = ask_at
        self._soon = asyncio.create_task(self._ask_soon(), name="cluster doubted")

    def redirected(self, words: str, asked: Endpoint | None) -> None:
        """A node has answered with MOVED, ASK, TRYAGAIN or CLUSTERDOWN.

        What is believed of that is so from the next turn of the loop on: one read may bring a
        thousand, and those who listen are told once.
        """
        if words.startswith("MOVED ") and asked is not None:
            told = read_redirect(words, asked)
            # Another master than those that are known took over from one of them. Which one that
            # was must be known as well, before anything is written there.
            if told is not None and told[1] in self.masters:
                slot, owner = told
                self._told[slot] = (owner, self._now() + TOLD_S)
                if not self._redirected:
                    asyncio.get_running_loop().call_soon(self._follow_redirections)
                self._redirected[slot] = owner
        if not words.startswith(("ASK ", "TRYAGAIN")):
            self.doubt(anew=words.startswith("MOVED "))

    async def locate(self, slot: int) -> Endpoint:
        """The master of a slot, asked for if that was not done a moment ago.

        Raises:
            BrokerUnavailable: No node says.
        """
        if self._owners[slot] is None or self._now() - self._seen_at > FRESH_S:
            await self.refresh()
        owner = self._owners[slot]
        if owner is None:
            raise BrokerUnavailable(f"no master of the Cluster has slot {slot}")
        return owner

    def locate_blocking(self, slot: int, *, deadline_s: float) -> Endpoint:
        """The same for a process or thread without an event loop. Told to nobody else.

        Raises:
            BrokerUnavailable: No node says.
            ConfigError: They answer, and will never say.
        """
        owner = self.nodes.look_blocking(deadline_s=deadline_s).owners[slot]
        if owner is None:
            raise BrokerUnavailable(f"no master of the Cluster has slot {slot}")
        return owner

    async def watch(self) -> None:
        """Ask now and then, until cancelled. Several that watch ask no more often than one."""
        try:
            while True:
                if self._now() - self._asked_at > ASK_INTERVAL_S / 2:
                    with suppress(BrokerUnavailable):
                        await self.refresh()
                await asyncio.sleep(ASK_INTERVAL_S * random.uniform(0.75, 1.25))  # noqa: S311
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Let what is being asked come to its end: a loop may be closed then."""
        if self._soon is not None:
            self._soon.cancel()
        while asking := {
            task for task in (self._asking, self._soon) if task is not None and not task.done()
        }:
            await asyncio.wait(asking)
        await self.nodes.settle()

    # Asking

    @property
    def _pause_s(self) -> float:
        doubted_s = self._doubted_at - self._doubted_since
        return max(ASK_PAUSE_S, min(ASK_INTERVAL_S, DOUBT_SHARE * doubted_s))

    async def _ask_soon(self) -> None:
        """Ask, and again for as long as there were doubts since the question was put."""
        while True:
            await asyncio.sleep(max(0.0, self._soon_at - self._now()))
            if self._asking is not None and self._asked_at < self._doubted_at:
                await asyncio.wait({self._asking})
            with suppress(BrokerUnavailable):
                await self.refresh()
            if self._doubted_at <= self._asked_at:
                return
            self._soon_at = self._asked_at + self._pause_s

    async def _refresh(self) -> None:
        self._asked_at = self._now()
        self._believe(await self.nodes.ask(self._nodes))

    def _believe(self, sight: Sight) -> None:
        if sight.epoch < self._epoch and self._older < MAX_OLDER:
            self._older += 1  # not everybody has heard of the newest configuration yet
            return
        self._older = 0
        self._seen_at = now = self._now()
        self._epoch, self._nodes = sight.epoch, sight.nodes
        owners = list(sight.owners)
        masters = frozenset(owner for owner in owners if owner is not None)
        self._told = {
            slot: told
            for slot, told in self._told.items()
            if told[1] > now and told[0] in masters and owners[slot] != told[0]
        }
        for slot, (owner, _) in self._told.items():
            owners[slot] = owner
        self._count_uncovered(owners.count(None))
        if owners == self._owners and masters == self.masters:
            return
        if self.masters and masters != self.masters:
            log.warning(
                "redis masters changed",
                masters=sorted(f"{host}:{port}" for host, port in masters), epoch=sight.epoch,
            )  # fmt: skip
        moved = {
            slot: before
            for slot, (before, owner) in enumerate(zip(self._owners, owners, strict=True))
            if before != owner
        }
        self._owners, self.masters = owners, masters
        self._doubted_since = now
        self._tell(moved)

    def _follow_redirections(self) -> None:
        redirected, self._redirected = self._redirected, {}
        moved: dict[int, Endpoint | None] = {}
        for slot, owner in redirected.items():
            if owner in self.masters and self._owners[slot] != owner:
                moved[slot], self._owners[slot] = self._owners[slot], owner
        if moved:
            self._tell(moved)

    def _count_uncovered(self, uncovered: int) -> None:
        if uncovered and not self.uncovered:
            log.warning("slots without a master", slots=uncovered)
        elif self.uncovered and not uncovered:
            log.info("every slot has a master again")
        self.uncovered = uncovered

    def _tell(self, moved: Moved) -> None:
        for changed in tuple(self._listeners):
            changed(moved)
