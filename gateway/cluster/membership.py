"""A worker's life among the others: its lease, its view of theirs, and the sweep of the dead.

The rules are in ``gateway.protocol.members``; here is the waiting.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.deadlines import AFTER_END_S, RENEWAL_RETRY_S, RENEWALS_PER_LEASE
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Changes, Members
from gateway.protocol.reports import WorkerState
from gateway.registry.base import Registry

log = get_logger(__name__)

LOOKS_PER_SECOND: Final = 100  # upon news, of all workers together: what Redis has to bear


class Watcher(Protocol):
    """Who acts on what membership learns. Nothing here waits but ``sweep``."""

    def worker_joined(self, worker: WorkerId, info: WorkerInfo) -> None: ...

    def worker_gone(self, worker: WorkerId) -> None: ...

    def workers_changed(self) -> None: ...

    def renewed(self) -> None: ...

    def fenced(self) -> None:
        """This worker is fenced: others have taken over."""
        ...

    async def sweep(self, worker: WorkerId) -> bool:
        """Run ``on_disconnect`` for connections of a dead worker whose sweep this one has joined.

        Returns:
            Whether that was all. False: others are at it, or will have to be.
        """
        ...


class Membership:
    """Keeps the lease of one worker and watches those of the others.

    Args:
        after_renewal: Run after every renewal that succeeded, unless it still runs; the next one
            does not wait for it.
        died: Told once of each worker that ended without leaving, whoever of all workers claims its
            sweep first.
        tell_everyone: Publishes a hint to all workers.

    Attributes:
        became: Told for people what a worker has become, as soon as this one knows.
    """

    def __init__(
        self,
        members: Members,
        registry: Registry,
        watcher: Watcher,
        *,
        tell_everyone: Callable[[Arrived | Leaving | Gone], None],
        after_renewal: Callable[[], Awaitable[None]],
        died: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._members = members
        self._registry = registry
        self._watcher = watcher
        self._tell_everyone = tell_everyone
        self._after_renewal = after_renewal
        self._died = died
        self._now = now
        self.became: Callable[[WorkerId, WorkerState], None] = lambda *_: None
        self._look_now = asyncio.Event()
        self._looking_soon: asyncio.TimerHandle | None = None
        self._sweeping: set[WorkerId] = set()
        self._following: asyncio.Task[None] | None = None
        self._ended = False
        self._registered = False
        self._missed = 0  # renewals in a row
        self._said_leaving_at: float | None = None
        self._heard_leaving_at: float | None = None

    @property
    def _renewal_s(self) -> float:
        return self._members.lease_s / RENEWALS_PER_LEASE

    async def run(self) -> None:
        """Renew, look and sweep until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                while True:
                    self._news_is_seen()  # before: more may come in while a renewal is under way
                    wait_s = await self._renew(tasks)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await self._look_now.wait()
        finally:
            self._news_is_seen()

    def news(self, envelope: Arrived | Leaving | Gone) -> None:
        """A hint has come in. It is only as good as pub/sub: leases decide."""
        match envelope:
            case Arrived(worker=worker, info=info):
                self._arrived(worker, info)
            case Leaving(worker=worker):
                if worker == self._members.me and self._heard_leaving_at is None:
                    self._heard_leaving_at = self._now()
                if self._members.leaving(worker, now=self._now()):
                    log.info("worker leaves", leaving_worker=worker)
                    self.became(worker, "leaving")
                    self._watcher.workers_changed()
            case Gone(worker=worker, swept=swept):
                if self._members.gone(worker, now=self._now()):
                    self._gone(worker, "said so", "gone" if swept else "fenced")
                    self._watcher.workers_changed()
                    if not swept:  # somebody must do that
                        self._look_soon()

    def say(self, info: WorkerInfo) -> None:
        """Change what this worker says of itself, at once as far as that is possible."""
        self._members.say(info)
        if info.leaving:
            self._said_leaving_at = self._now()
            self._tell_everyone(Leaving(self._members.me))
            self.became(self._members.me, "leaving")
        self._watcher.workers_changed()
        self._look_now.set()

    def leaving_known_for_s(self) -> float:
        """For how long nothing should come any more, as all others know that this worker leaves.

        What it said has come back to itself, and may take as long again to reach the others and
        what they sent before to get here. Whoever did not hear it reads it with the leases.
        """
        if self._said_leaving_at is None:
            return 0.0
        if self._heard_leaving_at is None:
            return max(0.0, self._now() - self._said_leaving_at - self._renewal_s)
        return max(0.0, self._now() - 2 * self._heard_leaving_at + self._said_leaving_at)

    async def leave(self, within_s: float, *, unfinished: bool = False) -> None:
        """End the lease, after everything else. At worst it ends by itself.

        Args:
            unfinished: The entries stay, for whoever sweeps this worker.
        """
        self._ended = True
        swept = False
        try:
            async with asyncio.timeout(within_s):
                if unfinished:
                    await self._registry.fence(self._members.me)
                else:
                    await self._registry.leave(self._members.me)
                    swept = True
        except (TimeoutError, BrokerUnavailable):
            log.warning("lease not returned; it will end by itself")
        self._tell_everyone(Gone(self._members.me, swept))

    @property
    def _pause_s(self) -> float:
        """All workers hear the same news: they look by and by, and the more the longer it takes."""
        return min(len(self._members.known) / LOOKS_PER_SECOND, self._renewal_s)

    def _look_soon(self) -> None:
        """Renew after a pause, and see what has come until then in one look."""
        if self._looking_soon is None:
            pause_s = self._pause_s * random.uniform(0.5, 1.5)  # noqa: S311
            loop = asyncio.get_running_loop()
            self._looking_soon = loop.call_later(pause_s, self._look_now.set)

    def _news_is_seen(self) -> None:
        self._look_now.clear()
        if self._looking_soon is not None:
            self._looking_soon.cancel()
            self._looking_soon = None

    async def _renew(self, tasks: asyncio.TaskGroup) -> float:
        """One renewal, and what follows of it. Returns the seconds until the next one."""
        members = self._members
        asked_at = self._now()
        if self._ended:
            return self._renewal_s
        try:
            leases = await self._registry.renew(
                members.me, members.known[members.me], members.lease_s
            )
            changes = members.renewed(leases, asked_at=asked_at, now=self._now())
            self._act(changes, leases, tasks)
        except BrokerUnavailable as error:
            members.missed()
            self._missed += 1
            level = "warning" if self._missed == 1 else "debug"  # once an outage
            getattr(log, level)("lease not renewed", attempt=self._missed, error=str(error))
            # Full jitter: after an outage all workers get here at once.
            return random.uniform(0.0, 2 * RENEWAL_RETRY_S)  # noqa: S311
        self._missed = 0
        if not changes.fenced and (self._following is None or self._following.done()):
            self._following = tasks.create_task(self._follow(), name="after renewal")
        if members.next_end_ms is None:
            return self._renewal_s
        # The first of all to look will claim it, and tell the others.
        jitter_s = random.uniform(0.0, self._pause_s)  # noqa: S311
        soonest_s = (members.next_end_ms - leases.now_ms) / 1000 + AFTER_END_S + jitter_s
        return min(self._renewal_s, max(soonest_s, RENEWAL_RETRY_S))

    async def _follow(self) -> None:
        try:
            await self._after_renewal()
        except BrokerUnavailable as error:
            log.debug("renewal not followed up", error=str(error))

    def _act(self, changes: Changes, leases: Leases, tasks: asyncio.TaskGroup) -> None:
        if changes.fenced:
            self._ended = True
            self._watcher.fenced()
            return
        if not self._registered:
            self._registered = True
            changes.changed = True
            self._tell_everyone(Arrived(self._members.me, self._members.known[self._members.me]))
        for worker in changes.joined:
            self._joined(worker)
        for worker in changes.gone:
            # Whoever is fenced keeps its lease until it is swept.
            self._gone(worker, "lease", "fenced" if worker in leases.workers else "gone")
        if changes.changed:
            self._watcher.workers_changed()
        self._watcher.renewed()
        for worker in (*changes.lapsed, *changes.unswept):
            if worker not in self._sweeping:
                self._sweeping.add(worker)
                end_ms, info = leases.workers[worker]
                # A claim that succeeds is the first one if it found a lease, or the end that a
                # supervisor leaves: 0. Later ones find the end of an earlier claim.
                died = not info.leaving and (worker in changes.lapsed or not end_ms)
                tasks.create_task(self._sweep(worker, end_ms, died=died), name=f"sweep {worker}")

    def _arrived(self, worker: WorkerId, info: WorkerInfo | None) -> None:
        if worker in self._members.known:
            return
        if info is None or not self._members.arrived(worker, info, now=self._now()):
            self._look_soon()
            return
        self._joined(worker)
        self._watcher.workers_changed()

    def _joined(self, worker: WorkerId) -> None:
        log.info("worker joined", joined_worker=worker)
        info = self._members.known[worker]
        self._watcher.worker_joined(worker, info)
        self.became(worker, "leaving" if info.leaving else "live")

    def _gone(self, worker: WorkerId, why: str, became: WorkerState) -> None:
        log.info("worker gone", gone_worker=worker, why=why)
        self._watcher.worker_gone(worker)
        self.became(worker, became)

    async def _sweep(self, worker: WorkerId, seen_end_ms: int, *, died: bool) -> None:
        try:
            if not await self._registry.claim(worker, seen_end_ms):
                self._look_soon()
                return
            log.warning("worker died", dead_worker=worker)
            if died:
                self._died()
            self._tell_everyone(Gone(worker))
            # Also one that was never in the view: it may wake up, and send what it had.
            self._members.gone(worker, now=self._now())
            self._gone(worker, "lease ended", "fenced")
            self._watcher.workers_changed()
            connections = (await self._registry.backlog(worker)).entries
            if await self._watcher.sweep(worker):
                await self._registry.finish(worker)
                log.info("worker swept", dead_worker=worker, connections=connections)
                self.became(worker, "swept")
        except BrokerUnavailable as error:
            log.warning("sweep broken off", dead_worker=worker, error=str(error))
        finally:
            self._sweeping.discard(worker)
