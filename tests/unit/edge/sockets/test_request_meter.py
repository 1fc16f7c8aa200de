"""How much of a request was read, and where what is given to the parser may end."""

from __future__ import annotations

import pytest

from gateway.edge.sockets.request_meter import (
    BODY_PIECE_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    TOO_LONG,
    TOO_MANY_HEADERS,
    RequestMeter,
)

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def in_body(*headers: tuple[bytes, bytes]) -> RequestMeter:
    meter = RequestMeter()
    meter.begin()
    meter.end_head(headers)
    return meter


def test_a_piece_of_a_head_ends_where_the_head_ends() -> None:
    assert RequestMeter().begin_piece(b"\r\n" + HEAD + b"more", 2) == 2 + len(HEAD)


@pytest.mark.parametrize(("length", "ends"), [(b"5", 5), (b"0", 1), (b"99999", BODY_PIECE_BYTES)])
def test_a_piece_of_a_body_ends_where_the_body_ends(length: bytes, ends: int) -> None:
    assert in_body((b"content-length", length)).begin_piece(bytes(1 << 17), 0) == ends


def test_of_a_body_only_what_is_left_is_a_piece() -> None:
    meter = in_body((b"content-length", b"10"))
    meter.begin_piece(bytes(4), 0)
    meter.body(4)
    meter.end_piece(4)

    assert meter.begin_piece(bytes(20), 0) == 6


def test_a_body_counts_for_nothing_and_all_else_for_the_head() -> None:
    meter = in_body((b"transfer-encoding", b"chunked"))
    for _ in range(100):
        meter.begin_piece(bytes(1024), 0)
        meter.chunk()
        meter.body(1004)
        meter.end_piece(1024)
    assert meter.wrong is None

    meter.begin_piece(bytes(MAX_HEAD_BYTES), 0)
    meter.end_piece(MAX_HEAD_BYTES)
    assert meter.wrong is None
    meter.skipped(1)
    assert meter.wrong == TOO_LONG


def test_trailers_are_no_headers_and_count_with_them() -> None:
    meter = RequestMeter()
    meter.begin()
    assert meter.header()
    meter.end_head([])
    trailers = [meter.header() for _ in range(MAX_HEADERS - 1)]
    assert not any(trailers)
    assert meter.wrong is None

    meter.header()
    assert meter.wrong == TOO_MANY_HEADERS


def test_the_next_request_begins_anew() -> None:
    meter = in_body()
    meter.begin_piece(bytes(MAX_HEAD_BYTES), 0)
    meter.end_piece(MAX_HEAD_BYTES)
    meter.end()
    meter.skipped(1)

    assert meter.wrong is None
