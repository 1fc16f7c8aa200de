"""What a parser is given at once: a long frame whole, and never many short ones."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.sockets import frame_parser
from gateway.edge.sockets.frame_parser import Event, Parser
from gateway.protocol.frames import Violation
from tests.support.rawclient import text_frame

MAX_BYTES = 1 << 16


class Reader:
    """Wants everything."""

    wants_more = True

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_text(self, text: str) -> None:
        self.texts.append(text)

    def on_event(self, event: Event) -> None:
        raise AssertionError(event)

    def takes_frame(self) -> bool:
        return True

    def on_ping(self, payload: bytes) -> None:
        raise AssertionError(payload)

    on_pong = on_ping


@pytest.fixture(autouse=True)
def endless_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_parser, "TURN_S", 60.0)


def made() -> Parser:
    async def make() -> Parser:
        return Parser(MAX_BYTES)

    return asyncio.run(make())  # picows asks for the loop


def slices_of(parser: Parser, *reads: bytes) -> list[int]:
    """How many bytes picows was given at a time."""
    sizes: list[int] = []
    parse = parser._buffer_updated

    def counted(size: int) -> None:
        sizes.append(size)
        parse(size)

    parser._buffer_updated = counted
    for data in reads:
        assert not parser.feed(Reader(), data)
    parser._buffer_updated = parse
    return sizes


def grown() -> Parser:
    """A parser whose buffer has grown, as those have that see long frames."""
    parser = made()
    slices_of(parser, text_frame("x" * MAX_BYTES))
    return parser


@given(
    st.lists(st.sampled_from([0, 1, 125, 126, 500, 600, 5_000, 60_000]), max_size=8),
    st.lists(st.integers(0, 1 << 18), max_size=4),
)
def test_frames_are_read_however_they_come(lengths: list[int], places: list[int]) -> None:
    texts = [chr(97 + number) * length for number, length in enumerate(lengths)]
    data = b"".join(map(text_frame, texts))
    at = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    parser, reader = made(), Reader()

    for start, end in itertools.pairwise(at):
        assert start == end or not parser.feed(reader, data[start:end])

    assert reader.texts == texts
    assert parser.idle


@pytest.mark.parametrize("length", [1_000, 16_000, MAX_BYTES])
def test_a_long_frame_is_parsed_in_one_go(length: int) -> None:
    """Red in slices of 512 bytes, and then of 16 KiB."""
    frame = text_frame("x" * length)

    assert slices_of(grown(), frame) == [len(frame)]
    assert slices_of(grown(), frame * 2) == [len(frame)] * 2


def test_short_frames_behind_a_long_one_are_parsed_a_few_at_a_time() -> None:
    long, short = text_frame("x" * 60_000), text_frame("") * 5_000

    first, *others = slices_of(grown(), long + short)

    assert first == len(long)
    assert max(others) == frame_parser._SLICE_BYTES


async def test_a_length_that_is_a_lie_is_no_way_around_that() -> None:
    """Its frame is refused with the header, whatever lies behind it."""
    parser, began = Parser(MAX_BYTES), time.monotonic()
    lie = b"\x81\xff" + (1 << 62).to_bytes(8, "big") + b"mask"

    with pytest.raises(Violation):
        parser.feed(Reader(), lie + text_frame("") * 100_000)

    assert time.monotonic() - began < 1.0
