"""Who may have one of the last descriptors."""

from __future__ import annotations

import pytest

from gateway.edge.sockets.descriptor_reserve import _is_probe


@pytest.mark.parametrize(
    ("path", "probe"),
    [
        ("/livez", True),
        ("/ws/readyz", True),  # below a mount
        ("/metrics", True),
        ("/livez/", False),
        ("/xlivez", False),
        ("/@users/livez", False),
        ("/ws/@users/ann/metrics", False),
        ("/@connections/readyz", False),
    ],
)
def test_only_probes_and_scrapes_are_answered(path: str, probe: bool) -> None:
    assert _is_probe(path) is probe
