"""Frames that are written, and messages that are put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.close_codes import NO_CODE
from gateway.protocol.frames import (
    BINARY,
    CHUNK_BYTES,
    CLOSE,
    LONG_BYTES,
    LONGEST_HEADER_BYTES,
    TEXT,
    Assembly,
    Violation,
    close_frame,
    header,
    lone_text,
    masked_frame_bytes,
    read_close,
    text_chunks,
    text_frames,
    text_pieces,
)

A_UMLAUT = "ä".encode()


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, b"\x81\x00"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65535, b"\x81\x7e\xff\xff"),
        (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_header_has_the_shortest_length(length: int, expected: bytes) -> None:
    assert header(TEXT, length) == expected


def test_text_frames_are_joined() -> None:
    long = b"x" * 126

    assert text_frames([b"a"]) == b"\x81\x01a"
    assert text_frames([b"a", long, b""]) == b"\x81\x01a" + b"\x81\x7e\x00\x7e" + long + b"\x81\x00"


def from_client(payload: bytes, *, first: int = 0x81, mask: bytes = b"\x01\xfe\x80\x7f") -> bytes:
    """One short masked frame, put together letter by letter."""
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
    return bytes((first, 0x80 | len(payload))) + mask + masked


@given(st.text(max_size=125), st.binary(min_size=4, max_size=4))
def test_a_short_text_that_is_alone_is_read(text: str, mask: bytes) -> None:
    payload = text.encode()[:125].decode(errors="ignore").encode()

    assert lone_text(from_client(payload, mask=mask)) == payload.decode()


@given(st.binary(max_size=125))
def test_what_is_no_text_is_left_to_a_parser(payload: bytes) -> None:
    try:
        text: str | None = payload.decode()
    except UnicodeDecodeError:
        text = None

    assert lone_text(from_client(payload)) == text


@pytest.mark.parametrize(
    "data",
    [
        b"",
        from_client(b"hello")[:5],  # half a header
        from_client(b"hello")[:-1],  # half a frame
        from_client(b"hello") + b"\x81",  # more than one
        from_client(b"hello", first=0x01),  # a fragment
        from_client(b"hello", first=0x80),  # and its end
        from_client(b"hello", first=0x82),  # not text
        from_client(b"hello", first=0xC1),  # compressed
        from_client(b"hello", first=0x88),  # a close
        b"\x81\x05mask" + b"hello",  # not masked
        b"\x81\xfe\x00\x7emask" + b"x" * 126,  # not short
        b"\x81\xff" + (126).to_bytes(8, "big") + b"mask" + b"x" * 126,
        b"\x81\xfe\x00\x05" + b"x" * 126,  # as long as it says that its length is
    ],
)
def test_anything_else_is_left_to_a_parser(data: bytes) -> None:
    assert lone_text(data) is None


@given(st.lists(st.sampled_from([0, 1, 126, 40_000, CHUNK_BYTES, CHUNK_BYTES + 1, 200_000])))
def test_chunks_are_the_same_frames(lengths: list[int]) -> None:
    payloads = [bytes([number]) * length for number, length in enumerate(lengths)]

    assert b"".join(text_chunks(payloads)) == text_frames(payloads)


def test_short_payloads_share_chunks() -> None:
    chunks = list(text_chunks([b"x" * 1000] * 1000))

    assert len(chunks) == 1000 // (CHUNK_BYTES // 1000) + 1
    assert max(map(len, chunks)) < CHUNK_BYTES * 1.1


def test_a_long_payload_is_not_copied() -> None:
    long = b"x" * (CHUNK_BYTES + 1)

    assert any(chunk is long for chunk in text_chunks([b"a", long, b"b"]))


LENGTHS = [0, 1, 125, 126, LONG_BYTES - 1, LONG_BYTES, 40_000]


@given(st.lists(st.sampled_from(LENGTHS)))
def test_pieces_are_the_same_frames_and_nothing_long_is_copied(lengths: list[int]) -> None:
    payloads = [bytes([number % 256]) * length for number, length in enumerate(lengths)]

    pieces = text_pieces(payloads)

    assert b"".join(pieces) == text_frames(payloads)
    long = [payload for payload in payloads if len(payload) >= LONG_BYTES]
    kept = {id(piece) for piece in pieces}
    assert all(id(payload) in kept for payload in long)
    assert len(pieces) <= 2 * len(long) + 1  # what is short is joined


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536, 1 << 40])
def test_how_long_a_frame_is_stands_in_its_header(length: int) -> None:
    unmasked = header(TEXT, length)
    begin = bytes((unmasked[0], unmasked[1] | 0x80)) + unmasked[2:] + b"mask"

    assert masked_frame_bytes(begin.ljust(LONGEST_HEADER_BYTES, b"x")) == len(begin) + length
    assert masked_frame_bytes(memoryview(begin.ljust(99, b"x"))) == len(begin) + length
    assert masked_frame_bytes(begin[: LONGEST_HEADER_BYTES - 1]) == 0  # perhaps not all of it


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [
        (1000, "Bye", b"\x03\xe8Bye"),
        (4999, "x" * 200, b"\x13\x87" + b"x" * 123),
        (4999, "x" + "ä" * 100, b"\x13\x87x" + A_UMLAUT * 61),
        (NO_CODE.code, "not said", b""),
    ],
)
def test_a_close_frame_fits_and_stays_unicode(code: int, reason: str, payload: bytes) -> None:
    assert close_frame(code, reason) == bytes((0x80 | CLOSE, len(payload))) + payload


@pytest.mark.parametrize("code", [1000, 1003, 1007, 1014, 3000, 3999, 4000, 4999])
def test_a_close_that_may_be_sent_is_read(code: int) -> None:
    assert read_close(code.to_bytes(2, "big") + A_UMLAUT) == (code, "ä")


def test_a_close_without_a_code_is_1005() -> None:
    assert read_close(b"") == (1005, "")


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_a_close_code_that_may_not_be_sent_is_a_violation(code: int) -> None:
    with pytest.raises(Violation) as raised:
        read_close(code.to_bytes(2, "big"))

    assert raised.value.code == 1002


@pytest.mark.parametrize(("payload", "code"), [(b"\3", 1002), (b"\x03\xe8\xff", 1007)])
def test_half_a_code_and_a_reason_in_no_unicode_are_violations(payload: bytes, code: int) -> None:
    with pytest.raises(Violation) as raised:
        read_close(payload)

    assert raised.value.code == code


@given(st.text(), st.lists(st.integers(0, 50), max_size=5))
def test_fragments_of_a_text_are_the_text_wherever_it_is_cut(text: str, cuts: list[int]) -> None:
    payload = text.encode()
    places = sorted(min(cut, len(payload)) for cut in cuts)
    pieces = [payload[a:b] for a, b in zip([0, *places], [*places, len(payload)], strict=True)]
    assembly = Assembly(TEXT, max_bytes=len(payload))

    assert all(assembly.add(piece, last=False) is None for piece in pieces[:-1])
    assert assembly.add(pieces[-1], last=True) == text


def test_fragments_of_binary_are_not_checked() -> None:
    assembly = Assembly(BINARY, max_bytes=3)

    assert assembly.add(b"\xff", last=False) is None
    assert assembly.add(b"\0\xfe", last=True) == b"\xff\0\xfe"


def test_one_byte_over_the_limit_is_a_violation() -> None:
    assembly = Assembly(BINARY, max_bytes=3)
    assembly.add(b"abc", last=False)

    with pytest.raises(Violation) as raised:
        assembly.add(b"d", last=False)
    assert raised.value.code == 1009


@pytest.mark.parametrize(
    ("pieces", "last"),
    [([b"a\xff"], False), ([A_UMLAUT[:1], b"x"], False), ([b"a", A_UMLAUT[:1]], True)],
    ids=["no start", "no continuation", "cut"],
)
def test_text_that_no_continuation_can_mend_is_a_violation(pieces: list[bytes], last: bool) -> None:
    assembly = Assembly(TEXT, max_bytes=100)
    for piece in pieces[:-1]:
        assembly.add(piece, last=False)

    with pytest.raises(Violation) as raised:
        assembly.add(pieces[-1], last=last)
    assert raised.value.code == 1007
