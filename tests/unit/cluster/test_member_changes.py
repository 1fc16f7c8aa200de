"""What is done when workers come, change and go."""

from __future__ import annotations

from unittest.mock import Mock

from gateway.cluster.member_changes import MemberChanges
from gateway.protocol.members import Members, WorkerInfo
from tests.support.ids import new_worker_id


def test_links_with_those_that_leave_hurry() -> None:
    """Red where a drain waits for acknowledgements that ride: a quarter of a second each."""
    me, leaving, staying = [new_worker_id() for _ in range(3)]
    members = Members(me, WorkerInfo(edge=True, handler=True), lease_s=10.0, now=0.0)
    for worker in (leaving, staying):
        members.known[worker] = WorkerInfo(edge=True, handler=True)
    parts = {
        name: Mock()
        for name in (
            "lease_guard", "callbacks", "links", "runner", "dispatcher", "requests_to_owners",
            "registration", "hub", "registry", "presence", "presence_sweep", "replaced", "given_up",
        )
    }  # fmt: skip
    changes = MemberChanges(members=members, **parts)
    members.leaving(leaving, now=1.0)

    changes.workers_changed()

    parts["links"].hurry.assert_called_once_with({leaving})
