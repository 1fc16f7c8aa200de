"""What publishers of the benchmarks write and hear."""

from __future__ import annotations

import pytest

from benchmarks.fanout.dialects import POSTED, publish_url


def test_a_backend_posts_the_text_as_json() -> None:
    head, _, body = POSTED.publish("bench", "bench:1:2:").partition("\r\n\r\n")

    assert body == '"bench:1:2:"'
    assert "Content-Length: 12" in head.split("\r\n")
    assert publish_url(POSTED, "ws://h:1/connection/websocket") == "ws://h:1/@channels/{channel}"


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n{}HTTP/1.1 200 OK\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\n\r\n{}HTTP/1.1 403 Forbidden\r\n\r\nno", True),
    ],
)
def test_a_post_without_success_is_a_fault(answers: bytes, refused: bool) -> None:
    assert POSTED.refused(answers) is refused
