"""``Readiness``: what is told of a port, and who is let in there."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.worker.health import PortHealth
from gateway.worker.readiness import Readiness


class Parts:
    """A worker of which a test says what is well."""

    def __init__(self, health: PortHealth) -> None:
        self.registration = SimpleNamespace(keeps_up=True)
        well: Any = SimpleNamespace(is_acting=True, ready=True)
        registration: Any = self.registration
        self.readiness = Readiness(
            lease_guard=well,
            callbacks=well,
            loopback_probe=well,
            registration=registration,
            health=health,
            inbox_at=lambda: "slot 1 at a:1",
            registry_at=lambda: "slot 2 at b:2",
        )


@pytest.mark.parametrize("alone", [True, False])
async def test_what_is_told_of_the_port_is_what_a_handshake_meets(
    alone: bool, tmp_path: Path
) -> None:
    """Also between two reports. Red when the last report of this worker counts for it."""
    parts = Parts(PortHealth(None if alone else tmp_path))
    await parts.readiness.started()
    assert parts.readiness.port_ready

    parts.registration.keeps_up = False  # Redis refuses to write

    assert not parts.readiness.port_ready
    assert not await parts.readiness.soon()


async def test_another_worker_of_the_port_makes_it_ready(tmp_path: Path) -> None:
    parts = Parts(PortHealth(tmp_path))
    other = PortHealth(tmp_path)
    other._file = tmp_path / "ready-1"
    other.report(ready=True)
    parts.registration.keeps_up = False

    assert parts.readiness.port_ready
