"""What is looked after twice a second holds up nobody, however many connections there are."""

from __future__ import annotations

import asyncio
import re
from types import SimpleNamespace

from prometheus_client import REGISTRY

from gateway import metrics
from gateway.broker.base import Reach
from gateway.edge.connection import ClientConnection
from gateway.messaging.hub import Hub
from gateway.metrics import exposition
from gateway.worker.housekeeping import SLICE, Housekeeping
from tests.support.ids import new_connection_id
from tests.support.logs import capture_logs

CONNECTIONS = 10 * SLICE
MASTERS = "gateway_redis_master_away"


class Checked(ClientConnection):
    """A connection that only counts how often it is checked."""

    def __init__(self, seen: list[Checked]) -> None:
        self.id = new_connection_id()
        self._seen = seen

    def check_progress(self, now: float) -> int:
        self._seen.append(self)
        return 1


class Wrong(Checked):
    def check_progress(self, now: float) -> int:
        raise RuntimeError("of one connection")


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


async def test_one_that_cannot_be_checked_keeps_no_other_from_it() -> None:
    """Red when its error goes on: the others are not looked at, and the worker ends."""
    seen: list[Checked] = []
    hub = Hub()
    for connection in (Checked(seen), Wrong(seen), Checked(seen)):
        hub.add(connection)
    parts = SimpleNamespace(hub=hub, now=lambda: 0.0)

    with capture_logs() as logs:
        await Housekeeping(parts)._check_connections()  # type: ignore[arg-type]

    assert len(seen) == 2
    assert [line["event"] for line in logs] == ["connection not checked"]


def test_a_master_that_has_no_slots_any_more_has_no_series() -> None:
    """Red where it stays, at what it was or at 0: whoever removes nodes would have them for ever.

    One that comes back has a series again.
    """
    there, left = {"a:1": False, "b:2": True}, {"a:1": False}
    reaches = iter(
        [
            Reach(unlocated=True, masters_away=there),
            Reach(sentinels_away=2, quorum_lost=True, slots_uncovered=7, masters_away=left),
            Reach(masters_away=there),
            Reach(),
        ]
    )
    broker = SimpleNamespace(reach=lambda: next(reaches))
    house = Housekeeping(SimpleNamespace(broker=broker))  # type: ignore[arg-type]

    def others() -> list[float | None]:
        names = ("unlocated", "sentinels_away", "quorum_lost", "slots_uncovered")
        return [REGISTRY.get_sample_value(f"gateway_redis_{name}") for name in names]

    metrics.MASTER_AWAY.clear()  # what workers of other tests have left
    house._fold_reach()
    assert (masters_told(), others()) == ({"a:1": "0.0", "b:2": "1.0"}, [1, 0, 0, 0])
    house._fold_reach()
    assert (masters_told(), others()) == ({"a:1": "0.0"}, [0, 2, 1, 7])
    house._fold_reach()
    assert masters_told() == {"a:1": "0.0", "b:2": "1.0"}
    house._fold_reach()
    assert masters_told() == {}


def masters_told() -> dict[str, str]:
    """What Prometheus reads of each master."""
    pattern = rf'(?m)^{MASTERS}{{master="(\S+)"}} (\S+)$'
    return dict(re.findall(pattern, exposition().decode()))
