"""When a worker that may have been replaced goes on."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import Mock

from gateway.cluster.lease_guard import LeaseGuard
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Leases, Members, WorkerInfo

ME = WorkerId("m" * 16)
LEASE_S = 10.0


class Held:
    """A worker whose lease has lapsed and was renewed; its canary is still on its way."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.canaries: list[Callable[[], None]] = []
        self.members = Members(
            ME, WorkerInfo(edge=True, handler=True), lease_s=LEASE_S, now=self.now_s
        )
        self.links, self.runner = Mock(), Mock()
        names = ("dispatcher", "owner_requests", "registration", "hub", "registry")
        parts = dict.fromkeys(names, Mock())
        self.lease_guard = LeaseGuard(
            members=self.members,
            links=self.links,
            runner=self.runner,
            loopback_probe=Mock(after_next=self.canaries.append),
            replaced=Mock(),
            given_up=Mock(),
            now=lambda: self.now_s,
            **parts,
        )
        self.renew()
        self.now_s += LEASE_S
        self.lease_guard.check_lease()
        self.renew()

    def renew(self) -> None:
        seen = Leases(round(self.now_s * 1000), {}, set())
        self.members.renewed(seen, asked_at=self.now_s, now=self.now_s)
        self.lease_guard.renewed()


def test_a_hold_ends_when_the_canary_is_back() -> None:
    held = Held()
    assert held.lease_guard.holding

    held.canaries.pop()()

    assert not held.lease_guard.holding


def test_a_canary_that_took_longer_than_the_lease_ends_no_hold() -> None:
    """Red without a second look at the lease: others may have been given the work meanwhile."""
    held = Held()
    held.now_s += LEASE_S

    held.canaries.pop()()
    assert held.lease_guard.holding

    held.renew()
    held.canaries.pop()()
    assert not held.lease_guard.holding


def test_a_canary_that_is_back_after_the_burial_ends_no_hold() -> None:
    """Red without a look at the burial: a worker that others have replaced goes on."""
    held = Held()
    held.now_s += 3
    held.lease_guard.buried()

    held.canaries.pop()()

    assert held.lease_guard.holding
    held.runner.release.assert_not_called()
    held.links.release.assert_not_called()
