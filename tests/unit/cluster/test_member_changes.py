"""What is done when workers come, change and go."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

from gateway.cluster.member_changes import MemberChanges
from gateway.errors import BrokerUnavailable
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.members import Members
from tests.support.ids import new_worker_id


def stand_ins() -> dict[str, Any]:
    names = (
        "lease_guard", "callbacks", "links", "runner", "dispatcher", "requests_to_owners",
        "registration", "hub", "registry", "presence", "presence_sweep", "replaced", "given_up",
    )  # fmt: skip
    return {name: Mock() for name in names}


async def test_members_that_cannot_be_reached_hold_up_no_goodbye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red when ``on_disconnect`` waits for a master that is away; or when the sweep is finished."""
    me = new_worker_id()
    members = Members(me, WorkerInfo(edge=True, handler=True), lease_s=10.0, now=0.0)
    parts = stand_ins()
    parts["presence_sweep"].run = AsyncMock(side_effect=BrokerUnavailable("away"))
    run = AsyncMock(return_value=True)
    monkeypatch.setattr("gateway.cluster.member_changes.Sweep", Mock(return_value=Mock(run=run)))

    with pytest.raises(BrokerUnavailable):
        await MemberChanges(members=members, **parts).sweep(new_worker_id())

    run.assert_awaited_once_with()


def test_links_with_those_that_leave_hurry() -> None:
    """Red where a drain waits for acknowledgements that ride: a quarter of a second each."""
    me, leaving, staying = [new_worker_id() for _ in range(3)]
    members = Members(me, WorkerInfo(edge=True, handler=True), lease_s=10.0, now=0.0)
    for worker in (leaving, staying):
        members.known[worker] = WorkerInfo(edge=True, handler=True)
    parts = stand_ins()
    changes = MemberChanges(members=members, **parts)
    members.leaving(leaving, now=1.0)

    changes.workers_changed()

    parts["links"].hurry.assert_called_once_with({leaving})
