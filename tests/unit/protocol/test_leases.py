"""What a worker says of itself with its lease."""

from __future__ import annotations

import pytest

from gateway.protocol.leases import WorkerInfo


@pytest.mark.parametrize(
    ("edge", "handler", "role"),
    [(True, True, "both"), (True, False, "edge"), (False, True, "handler")],
)
def test_what_a_worker_is_for_is_one_word(edge: bool, handler: bool, role: str) -> None:
    assert WorkerInfo(edge=edge, handler=handler).role == role
