"""Where the gateway's paths begin."""

from __future__ import annotations

import pytest

from gateway.edge.paths import stripped_part


@pytest.mark.parametrize(
    ("root", "path", "stripped"),
    [
        ("/api", "/communicate", "/api"),
        ("/api/ws", "/ws/communicate", "/api"),
        ("/a/b/ws", "/ws/communicate", "/a/b"),
        ("/a/ws", "/ws", "/a"),
        ("/a/ws", "/wsx/communicate", "/a/ws"),
    ],
)
def test_what_a_proxy_took_off_is_found(root: str, path: str, stripped: str) -> None:
    assert stripped_part(root, path) == stripped
