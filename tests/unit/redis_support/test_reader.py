"""The bounded reader: absurd headers are errors wherever they stand, and content is content."""

from __future__ import annotations

import itertools
from typing import Any

import hiredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.redis_support.reader import INCOMPLETE, BoundedReader

ABSURD = [
    b"*2147483647\r\n", b"*1000000\r\n", b"%9999999\r\n", b">9999999\r\n", b"~12345678\r\n",
]  # fmt: skip

BEFORE = [
    b"", b"+OK\r\n", b":1\r\n$2\r\nab\r\n", b"*2\r\n+OK\r\n",
    b"$3000\r\n" + b"x" * 3000 + b"\r\n", b"$3000\r\n" + b"\n*" * 1500 + b"\r\n",
]  # fmt: skip


def reader() -> BoundedReader:
    return BoundedReader(reply_error=ValueError)


def read(bounded: BoundedReader, *pieces: bytes) -> list[Any]:
    replies = []
    for piece in pieces:
        replies += bounded.feed(piece)
        while (reply := bounded.gets()) is not INCOMPLETE:
            replies.append(reply)
    return replies


def cut(data: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(at)]


@pytest.mark.parametrize("header", ABSURD)
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("at_once", [True, False])
def test_an_absurd_header_is_an_error_wherever_it_stands(
    header: bytes, before: bytes, at_once: bool
) -> None:
    """Red with hiredis alone: it takes ``*2147483647`` and makes room for it."""
    data = before + header
    pieces = [data] if at_once else [data[at : at + 1] for at in range(len(data))]

    with pytest.raises(hiredis.ProtocolError):
        read(reader(), *pieces)


REPLIES = st.recursive(
    st.binary(max_size=40)
    | st.sampled_from(ABSURD)
    | st.builds(lambda a, b, c: a + b"\r\n" + b + c, st.binary(), st.sampled_from(ABSURD),
                st.binary())
    | st.integers(0, 99),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


def encoded(reply: Any) -> bytes:
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, bytes):
        return b"$%d\r\n%s\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(map(encoded, reply))


@given(st.lists(REPLIES, max_size=5), st.lists(st.integers(0, 1000), max_size=6))
def test_content_that_looks_like_a_header_is_content(replies: list[Any], places: list[int]) -> None:
    """Clients choose what batches hold: a text may not cost a worker its connection."""
    data = b"".join(map(encoded, replies))

    assert read(reader(), *cut(data, places)) == replies


def test_a_reply_without_end_is_an_error() -> None:
    bounded = BoundedReader(reply_error=ValueError, max_reply_bytes=1000)
    assert len(read(bounded, b"$950\r\n", b"x" * 900, b"y" * 50 + b"\r\n")) == 1
    read(bounded, b"+" + b"z" * 900)

    with pytest.raises(hiredis.ProtocolError):
        bounded.feed(b"z" * 200)


def test_many_replies_of_which_no_read_ends_with_one_are_not_endless() -> None:
    """As when they come faster than they are read. Red when what is not whole was counted since a
    read last ended with a reply: 128 MiB of messages of 16 kB cost a worker its subscriptions.
    """
    bounded = BoundedReader(reply_error=ValueError, max_reply_bytes=1000)
    replies = [b"x" * 90] * 50
    data = b"".join(map(encoded, replies))

    pieces = [data[at : at + 91] for at in range(0, len(data), 91)]
    assert read(bounded, *pieces) == replies
