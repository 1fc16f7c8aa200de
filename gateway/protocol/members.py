"""Who lives: what one worker believes of the others, from what Redis says of the leases.

Absence is believed only by a worker that has itself renewed without a miss for one full lease.
Until then it keeps its last view, fences nobody and moves nothing. So a Redis that froze, that
restarted empty or that lost a link does not make the living fence each other. A fence is no
absence: it is believed at once.

Nor is it believed after Redis' clock was set: a step forward ends every lease at once, those of
the living too. So Redis' time is compared with one's own clock, and a step in either direction
counts as a miss: after a lease without one, all that live have renewed under the new time.

Pure: no I/O and no clock. ``now`` is monotonic seconds; leases end in milliseconds of Redis' time.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from gateway.protocol.deadlines import RENEWALS_PER_LEASE, STEP_SHARE
from gateway.protocol.handler_workers import handler_workers
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.redis_clock import RedisClock
from gateway.protocol.subset import SUBSET

MAX_DEPARTED: Final = 1_000


@dataclass(slots=True)
class Changes:
    """What a worker learns from one look at the leases.

    Attributes:
        joined: Not known before, or known again.
        gone: No longer believed to live.
        lapsed: Their leases have ended: fence them.
        unswept: They are fenced and nobody sweeps them: claim them.
        fenced: This worker itself is fenced.
        changed: Anything that may change who handles which connection.
    """

    joined: list[WorkerId] = field(default_factory=list)
    gone: list[WorkerId] = field(default_factory=list)
    lapsed: list[WorkerId] = field(default_factory=list)
    unswept: list[WorkerId] = field(default_factory=list)
    fenced: bool = False
    changed: bool = False


class Members:
    """One worker's belief. Itself is always a member.

    Args:
        handler_subset: To so many handling workers it takes messages, where there are more.

    Attributes:
        handlers: All handling workers, in order.
        hook_handlers: Of these, whom one may ask for hooks.
        targets: Those of the handling workers to which this one takes messages. Another object only
            when they have changed.
        hook_targets: The same of ``hook_handlers``.
        generation: Rises with every change of the targets.
    """

    def __init__(
        self,
        me: WorkerId,
        info: WorkerInfo,
        *,
        lease_s: float,
        now: float,
        handler_subset: int = SUBSET,
    ) -> None:
        self.me = me
        self.lease_s = lease_s
        self._handler_subset = handler_subset
        self.known: dict[WorkerId, WorkerInfo] = {me: info}
        self.handlers: tuple[WorkerId, ...] = ()
        self.hook_handlers: tuple[WorkerId, ...] = ()
        self.targets: tuple[WorkerId, ...] = ()
        self.hook_targets: tuple[WorkerId, ...] = ()
        self.generation = 0
        self.next_end_ms: int | None = None  # the earliest lease end of the others, in Redis' time
        self._avoided: frozenset[WorkerId] = frozenset()
        self._hints: dict[WorkerId, float] = {}  # worker -> when it was last said to go
        self._arrivals: dict[WorkerId, float] = {}  # worker -> when it said that it had come
        self._departed: dict[WorkerId, None] = {}  # the last of those that were believed to be gone
        self._steady_since: float | None = None
        self._known_since_ms = 0
        self._clock = RedisClock(drift_s=STEP_SHARE * lease_s)
        self._renewed_at = now
        self._elect()

    def trusted(self, now: float) -> bool:
        """Whether absence may be believed."""
        return self._steady_since is not None and now - self._steady_since >= self.lease_s

    def lapsed(self, now: float) -> bool:
        """Whether others may believe that this worker is dead: it has not renewed for a lease."""
        return now - self._renewed_at >= self.lease_s

    def missed(self) -> None:
        """A renewal failed, or nobody can know."""
        self._steady_since = None

    def say(self, info: WorkerInfo) -> None:
        """This worker's own state has changed."""
        self.known[self.me] = info
        self._elect()

    def avoid(self, workers: frozenset[WorkerId]) -> bool:
        """Take messages to others than these as long as there are others. Whether that is news."""
        if workers == self._avoided:
            return False
        self._avoided = workers
        self._elect()
        return True

    def renewed(self, leases: Leases, *, asked_at: float, now: float) -> Changes:
        """Take in the leases that came back with a renewal asked for at ``asked_at``."""
        renewal_s = self.lease_s / RENEWALS_PER_LEASE
        # An answer may be late because Redis froze. A freeze ends leases that were renewed up to a
        # renewal before it began, and up to another one may pass before we ask.
        late = now - asked_at >= self.lease_s - 2 * renewal_s
        stepped = self._clock.stepped(leases.now_ms / 1000, asked_at=asked_at, now=now)
        silent = asked_at - self._renewed_at >= self.lease_s
        if late or silent or stepped or leases.known_since_ms != self._known_since_ms:
            self.missed()
        self._known_since_ms = leases.known_since_ms
        if self._steady_since is None:
            self._steady_since = now
        self._renewed_at = asked_at
        changes = Changes(fenced=self.me in leases.fenced)
        before = dict(self.known)
        # Leases that were read before a hint came in are older news than the hint.
        self._hints = {w: at for w, at in self._hints.items() if at >= asked_at}
        self._arrivals = {w: at for w, at in self._arrivals.items() if at >= asked_at}
        self._add_the_living(leases, changes)
        self._remove_the_absent(leases, changes, trusted=self.trusted(now))
        changes.changed = before != self.known
        if changes.changed:
            self._elect()
        return changes

    def arrived(self, worker: WorkerId, info: WorkerInfo, *, now: float) -> bool:
        """A worker said that it has registered. Returns whether it is known by that.

        If it is not, the leases must say who lives: what is said of one that has gone may be old.
        """
        if worker in self._departed:
            return False
        if worker not in self.known:
            self.known[worker] = info
            self._arrivals[worker] = now
            self._elect()
        return True

    def leaving(self, worker: WorkerId, *, now: float) -> bool:
        """A worker said that it drains. Returns whether that was news."""
        self._hints[worker] = now
        info = self.known.get(worker)
        if info is None or info.leaving or worker == self.me:
            return False
        self.known[worker] = replace(info, leaving=True)
        self._elect()
        return True

    def gone(self, worker: WorkerId, *, now: float) -> bool:
        """A worker has left, or is fenced. Returns whether that was news."""
        self._hints[worker] = now
        self._depart(worker)
        if worker == self.me or self.known.pop(worker, None) is None:
            return False
        self._elect()
        return True

    def _add_the_living(self, leases: Leases, changes: Changes) -> None:
        ends = []
        for worker, (end_ms, info) in leases.workers.items():
            if worker == self.me:
                continue
            if worker in leases.fenced:
                if end_ms <= leases.now_ms:
                    changes.unswept.append(worker)
                continue
            if worker in self._hints:
                continue
            ends.append(end_ms)
            lapsed = end_ms <= leases.now_ms
            if lapsed:
                changes.lapsed.append(worker)
            before = self.known.get(worker)
            if before is None:
                if lapsed:  # not seen alive yet: a worker that starts hands nothing to the dead
                    continue
                changes.joined.append(worker)
            # Nobody changes its mind about leaving; a lease may say it later than a hint did.
            leaves = before is not None and before.leaving
            self.known[worker] = replace(info, leaving=True) if leaves else info
        self.next_end_ms = min(ends, default=None)

    def _remove_the_absent(self, leases: Leases, changes: Changes, *, trusted: bool) -> None:
        if not trusted:
            changes.lapsed.clear()
        for worker in [w for w in self.known if w != self.me]:
            absent = worker not in leases.workers and worker not in self._arrivals
            if worker in leases.fenced or (absent and trusted):
                del self.known[worker]
                self._depart(worker)
                changes.gone.append(worker)

    def _depart(self, worker: WorkerId) -> None:
        self._departed[worker] = None
        if len(self._departed) > MAX_DEPARTED:
            del self._departed[next(iter(self._departed))]

    def _elect(self) -> None:
        before = self.targets, self.hook_targets
        self.handlers, self.hook_handlers, targets, hook_targets = handler_workers(
            self.me, self.known, size=self._handler_subset, avoided=self._avoided
        )
        if (targets, hook_targets) != before:
            self.targets, self.hook_targets = targets, hook_targets
            self.generation += 1
