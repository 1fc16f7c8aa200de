"""What subscribers hear is compared byte by byte, and no fault of one hides behind the others."""

from __future__ import annotations

import pytest

from benchmarks.fanout.stream import Burst, Hearing, text_of

CHANNEL = "bench"
SIZE = 24


def read(message: bytes) -> list[bytes] | None:
    return message.split(b"\n") if message.startswith(CHANNEL.encode()) else None


def frame(*texts: str) -> bytes:
    payload = "\n".join(texts).encode()
    if len(payload) < 126:
        return bytes([0x81, len(payload)]) + payload
    return b"\x81\x7e" + len(payload).to_bytes(2, "big") + payload


def said(sequence: int, publisher: int = 0) -> str:
    return text_of(CHANNEL, publisher, sequence, SIZE)


def burst(newest: int = 0) -> Burst:
    return Burst(read, CHANNEL, {0: newest}, SIZE)


ALL = b"".join(frame(said(number)) for number in range(1, 11))


def heard(one: Hearing, data: bytes, at_once: int) -> int:
    return sum(one.hear(data[at : at + at_once]) for at in range(0, len(data), at_once))


@pytest.mark.parametrize("pieces", [(1000, 1000), (7, 7), (1000, 7), (7, 1000), (26, 3)])
def test_all_is_counted_however_it_is_cut(pieces: tuple[int, int]) -> None:
    whole = burst()
    counts = [heard(Hearing(whole), ALL, piece) for piece in pieces]

    assert counts == [10, 10]
    assert not whole.faults()
    assert len(whole.streams) == 1


def test_other_frames_of_the_same_publications_are_read_by_themselves() -> None:
    whole = burst()
    one, *others = (Hearing(whole) for _ in range(3))
    joined = frame(*(said(number) for number in range(1, 11)))

    assert heard(one, ALL, 100) == 10
    assert [heard(other, joined, 100) for other in others] == [10, 10]
    assert not whole.faults()
    assert len(whole.streams) == 2


@pytest.mark.parametrize("own", [b"\x89\x00", b"\x81\x02{}"])
def test_a_ping_is_for_whoever_gets_it(own: bytes) -> None:
    whole = burst()
    one, other = Hearing(whole), Hearing(whole)
    half = len(ALL) // 2

    assert one.hear(ALL[:half] + own + ALL[half:]) == 10
    assert one.stream.own
    assert other.hear(ALL) == 10
    assert not other.stream.own
    assert not whole.faults()


def test_the_next_burst_goes_on_where_the_last_one_ended() -> None:
    first = burst()
    one = Hearing(first)
    one.hear(ALL)
    one.begin(burst(newest=10))

    assert one.hear(frame(said(11))) == 1
    assert not one.burst.faults()


def test_half_a_ping_between_two_bursts_is_no_fault() -> None:
    one = Hearing(burst())
    one.hear(ALL + b"\x89")
    one.begin(burst(newest=10))

    assert one.hear(b"\x00" + frame(said(11))) == 1
    assert one.stream.own == [(9, b"")]
    assert not one.burst.faults()


TWO, THREE = frame(said(2)), frame(said(3))
BROKEN = {
    "lost or reordered": [ALL.replace(TWO, b""), ALL.replace(TWO + THREE, THREE + TWO)],
    "doubled": [ALL.replace(TWO, TWO + TWO), ALL + TWO],
    "altered": [ALL.replace(b"2:x", b"2:y"), ALL.replace(TWO, frame("bench:no"))],
    "misrouted": [ALL.replace(TWO, frame(text_of("bench2", 0, 1, SIZE)) + TWO)],
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    ("fault", "data"), [(fault, data) for fault, some in BROKEN.items() for data in some]
)
def test_a_fault_is_found_in_whoever_hears_it(fault: str, data: bytes, first: bool) -> None:
    whole = burst()
    good, bad = Hearing(whole), Hearing(whole)
    if not first:
        good.hear(ALL)
    bad.hear(data)
    if first:
        assert good.hear(ALL) == 10

    assert fault in whole.faults()


def test_what_has_not_come_is_not_counted() -> None:
    assert Hearing(burst()).hear(ALL[:-1]) == 9
