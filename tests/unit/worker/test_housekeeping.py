"""What is looked after twice a second holds up nobody, however many connections there are."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from gateway.edge.connection import ClientConnection
from gateway.messaging.hub import Hub
from gateway.worker.housekeeping import SLICE, Housekeeping
from tests.support.ids import new_connection_id

CONNECTIONS = 10 * SLICE


class Checked(ClientConnection):
    """A connection that only counts how often it is checked."""

    def __init__(self, seen: list[Checked]) -> None:
        self.id = new_connection_id()
        self._seen = seen

    def check_progress(self, now: float) -> int:
        self._seen.append(self)
        return 1


async def test_connections_are_checked_in_slices() -> None:
    """Red where all are checked in one turn. Each is checked once, also if others leave."""
    seen: list[Checked] = []
    hub = Hub()
    connections = [Checked(seen) for _ in range(CONNECTIONS)]
    for connection in connections:
        hub.add(connection)
    parts = SimpleNamespace(hub=hub, now=lambda: 0.0)
    house = Housekeeping(parts)  # type: ignore[arg-type]
    most, before = 0, 0
    checking = asyncio.create_task(house._check_connections())
    while not checking.done():
        await asyncio.sleep(0)
        most, before = max(most, len(seen) - before), len(seen)
        hub.remove(connections[before // 2].id)
    await checking

    assert most == SLICE
    assert seen == connections
