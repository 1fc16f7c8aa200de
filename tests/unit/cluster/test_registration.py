"""Who waits until the registry knows of a connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.cluster.registration import Registration
from gateway.registry.base import Entry
from gateway.registry.memory import MemoryRegistry
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.logs import capture_logs
from tests.support.waiting import eventually


async def test_one_that_fails_when_it_is_told_keeps_nobody_else_from_it() -> None:
    """Red when its error goes on: the entries of this worker were written no more, and it ended."""
    me, told = new_worker_id(), list[str]()
    registration = Registration(me, MemoryRegistry(), may_write=lambda: True)

    def fail() -> None:
        raise RuntimeError("of one connection")

    entry = Entry(None, "", "", "", 0)
    registration.put(new_connection_id(me), entry, fail)
    registration.put(new_connection_id(me), entry, lambda: told.append("beside it"))
    task = asyncio.create_task(registration.run())
    await eventually(lambda: told, "the other one")
    registration.put(new_connection_id(me), entry, lambda: told.append("after it"))
    await eventually(lambda: len(told) == 2, "one that comes later")
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task

    assert told == ["beside it", "after it"]


async def test_what_is_removed_as_this_worker_leaves_was_not_lost() -> None:
    """Red when a renewal's answer that comes after it tells of a Redis that forgets."""
    me, registry = new_worker_id(), MemoryRegistry()
    registration = Registration(me, registry, may_write=lambda: True)
    written = asyncio.Event()
    registration.put(new_connection_id(me), Entry(None, "", "", "", 0), written.set)
    task = asyncio.create_task(registration.run())
    await written.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    registration.seal()
    await registry.leave(me)

    with capture_logs() as logs:
        await registration.check()

    assert not logs
    assert not registration.behind
