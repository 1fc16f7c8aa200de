"""The wire form of what workers say to each other: nothing is lost in it, and nothing breaks it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EnvelopeTooLarge
from gateway.protocol.envelopes.dispatching import (
    ConnectionFacts,
    Dispatch,
    Forget,
    Introduce,
    Reply,
)
from gateway.protocol.envelopes.kinds import Envelope, all_kinds
from gateway.protocol.envelopes.membership import Gone
from gateway.protocol.envelopes.wire import (
    LONG_BYTES,
    MAX_ENVELOPE_BYTES,
    OLDEST,
    VERSION,
    Header,
    encode,
    hint,
    join,
    join_long,
    read,
    stamp,
)
from gateway.protocol.ids import WorkerId, connection_id
from gateway.protocol.link import NO_BODY
from tests.unit.protocol import strategies
from tests.unit.protocol.strategies import BY_KIND, ENVELOPE, TEXT

A = WorkerId("a" * 16)
CONNECTION = connection_id(A, bytes(16))
HEADER = Header(VERSION, A, 7, 3, 5, 2, True, 9, 8, 16, (4, 4, 6, 7))
NEIGHBOUR = Forget(CONNECTION)


def header(version: int) -> Header:
    return Header(version, A, 7, 3, 5, 2, False)


def written(envelope: Envelope) -> bytes:
    return encode(envelope)


def batch(*items: bytes, version: int = VERSION) -> bytes:
    return stamp(header(version), join(items))


def read_envelopes(payload: bytes) -> tuple[list[Envelope], int]:
    found = read(payload)
    assert found is not None
    return list(found.envelopes), found.unreadable


def introduce(*headers: tuple[str, str]) -> Introduce:
    return Introduce(
        CONNECTION, ConnectionFacts("ada", "192.0.2.1", "a=1", headers, ("one", "two"))
    )


def raw(value: object) -> bytes:
    return msgspec.msgpack.encode(value)


# What is written can be read


@given(strategies.HEADER, st.lists(ENVELOPE, max_size=5))
def test_a_batch_is_read_as_it_was_written(head: Header, envelopes: list[Envelope]) -> None:
    found = read(stamp(head, join([written(envelope) for envelope in envelopes])))

    assert found is not None
    assert found.header == head
    assert list(found.envelopes) == envelopes
    assert found.unreadable == 0


@given(st.lists(st.sampled_from([1, 99, LONG_BYTES - 1, LONG_BYTES, 3 * LONG_BYTES])))
def test_in_pieces_it_is_the_same_body_and_nothing_long_is_copied(lengths: list[int]) -> None:
    items = [bytes([number % 256]) * length for number, length in enumerate(lengths)]

    pieces = join_long(items)

    assert b"".join(pieces) == join(items)
    long = [item for item in items if len(item) >= LONG_BYTES]
    assert all(any(piece is item for piece in pieces) for item in long)
    assert len(pieces) <= 2 * len(long) + 1  # what is short is joined


def test_every_kind_of_envelope_is_tried_here() -> None:
    assert set(BY_KIND) == set(all_kinds().values())


def test_a_body_may_be_stamped_again() -> None:
    body = join([written(NEIGHBOUR)])
    stamp(HEADER, body)

    assert read_envelopes(stamp(header(VERSION), body)) == ([NEIGHBOUR], 0)


def test_the_links_empty_body_is_a_batch_without_envelopes() -> None:
    assert read_envelopes(stamp(HEADER, NO_BODY)) == ([], 0)


def test_a_hint_is_a_batch_outside_of_every_link_that_everybody_reads() -> None:
    """Whoever asks from outside may be of an older release than the worker that answers it."""
    found = read(hint(A, Gone(A)))

    assert found is not None
    assert found.header == Header(OLDEST, A, 0, 0, 0, 0, False)
    assert list(found.envelopes) == [Gone(A)]


# Bounds


def test_an_envelope_of_exactly_the_limit_is_written() -> None:
    overhead = len(written(Reply(CONNECTION, 1, 1, "x" * 70_000))) - 70_000

    assert len(written(Reply(CONNECTION, 1, 1, "x" * (MAX_ENVELOPE_BYTES - overhead)))) == 1 << 20


def test_an_envelope_one_byte_over_the_limit_is_refused_with_the_numbers() -> None:
    overhead = len(written(Reply(CONNECTION, 1, 1, "x" * 70_000))) - 70_000
    envelope = Reply(CONNECTION, 1, 1, "x" * (MAX_ENVELOPE_BYTES - overhead + 1))

    with pytest.raises(EnvelopeTooLarge, match="of 1048577 B is over the limit of 1048576 B"):
        written(envelope)


def test_a_text_that_utf_8_cannot_say_is_refused_where_it_is_made() -> None:
    with pytest.raises(UnicodeEncodeError):
        written(Reply(CONNECTION, 1, 1, "\ud800"))


# What cannot be read


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_arbitrary_bytes_never_raise(payload: bytes) -> None:
    read(payload)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A batch with bytes changed, taken out, put in, cut off, or doubled."""
    items = [written(e) for e in draw(st.lists(ENVELOPE, min_size=1, max_size=4))]
    payload = bytearray(stamp(draw(strategies.HEADER), join(items)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(payload)))
        match draw(st.sampled_from(["change", "remove", "insert", "cut", "double"])):
            case "change":
                payload[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "remove":
                del payload[at : at + draw(st.integers(1, 4))]
            case "insert":
                payload[at:at] = draw(st.binary(min_size=1, max_size=6))
            case "cut":
                del payload[at:]
            case _:
                payload[at:at] = payload[at : at + 8]
    return bytes(payload)


@given(damaged())
@settings(max_examples=300)
def test_a_damaged_batch_never_raises(payload: bytes) -> None:
    read(payload)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXT | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=3),
)


@given(
    st.lists(ENVELOPE, max_size=3),
    st.lists(ENVELOPE, max_size=3),
    st.lists(ANYTHING, max_size=6),
    st.integers(-1, 20) | st.just(99),
    st.sampled_from([OLDEST, VERSION]),
)
def test_whatever_an_envelope_holds_its_neighbours_are_kept(
    before: list[Envelope], after: list[Envelope], fields: list[object], tag: int, version: int
) -> None:
    items = [*map(written, before), raw([tag, *fields])]
    items += map(written, after)
    kinds = [type(e) for e in (*before, *after)]

    envelopes, unreadable = read_envelopes(batch(*items, version=version))

    if not unreadable:  # by chance it was a good one
        envelopes.pop(len(before))
    assert unreadable in (0, 1)
    assert [type(e) for e in envelopes] == kinds


@given(st.lists(ENVELOPE, max_size=3), st.lists(ENVELOPE, max_size=3), ANYTHING)
def test_an_envelope_that_a_later_release_adds_is_counted_and_costs_no_neighbour(
    before: list[Envelope], after: list[Envelope], field: object
) -> None:
    items = [*map(written, before), raw([99, field]), *map(written, after)]

    assert read_envelopes(batch(*items)) == ([*before, *after], 1)


@pytest.mark.parametrize(
    "item",
    [
        raw(None),
        raw([]),
        raw({"tag": 2}),
        raw([2]),
        raw([2, 5]),
        raw([3, CONNECTION, "first", 1, "text"]),
        raw([1, CONNECTION, [None, "", "", {"a": "b"}, []]]),
        b"\x92\x02\xa1\xff",  # text that is no UTF-8: msgspec says so with a UnicodeDecodeError
    ],
)
def test_an_envelope_that_is_wrong_inside_costs_no_neighbour(item: bytes) -> None:
    payload = batch(written(NEIGHBOUR), item, written(NEIGHBOUR))

    assert read_envelopes(payload) == ([NEIGHBOUR, NEIGHBOUR], 1)


NESTED = b"\x91" * 100_000 + b"\x90"
BEYOND_READING = {
    "nothing": b"",
    "no batch but nesting": NESTED,
    "a nested header": b"\x92" + NESTED,
    "a nested envelope": batch(NESTED),
    "a nested field": batch(b"\x93\x02\xa1a" + NESTED),
    "a byte too many": batch(written(NEIGHBOUR)) + b"\x00",
    "a byte too few": batch(written(NEIGHBOUR))[:-1],
    "four billion envelopes announced": b"\x92" + raw(HEADER) + b"\xdd\xff\xff\xff\xff",
    "half a header": b"\x92" + raw([VERSION, A]) + NO_BODY,
    "a sender that is no UTF-8": b"\x92\x97\x02\xa1\xff\x01\x01\x00\x00\xc2" + NO_BODY,
}


@pytest.mark.parametrize("payload", BEYOND_READING.values(), ids=BEYOND_READING)
def test_a_batch_that_cannot_be_taken_apart_is_none(payload: bytes) -> None:
    assert read(payload) is None


# Versions


def test_a_worker_reads_its_own_version_and_the_one_before() -> None:
    assert (OLDEST, VERSION) == (2, 3)


@pytest.mark.parametrize("version", [OLDEST - 1, VERSION + 1])
def test_a_version_that_is_too_old_or_too_new_is_not_guessed_at(version: int) -> None:
    assert read(batch(written(NEIGHBOUR), version=version)) is None
    assert read(batch(b"\x91\xa1?", written(NEIGHBOUR), version=version)) is None


def test_the_previous_version_has_the_same_envelopes_and_a_shorter_header() -> None:
    payload = b"\x92" + raw([OLDEST, A, 7, 3, 5, 2, True]) + join([written(NEIGHBOUR)])

    found = read(payload)

    assert found is not None
    assert found.header == Header(OLDEST, A, 7, 3, 5, 2, True, 0, 0, 0, ())
    assert list(found.envelopes) == [NEIGHBOUR]


class HeaderV2(msgspec.Struct, array_like=True, frozen=True):
    """The header as workers of the previous version read it."""

    version: int
    sender: WorkerId
    epoch: int
    number: int
    ack_epoch: int
    ack: int
    ask: bool


def test_the_previous_version_reads_this_header_and_skips_what_it_does_not_know() -> None:
    payload = stamp(HEADER, join([written(NEIGHBOUR)]))

    found, _ = msgspec.msgpack.decode(payload, type=tuple[HeaderV2, list[msgspec.Raw]])

    assert found == HeaderV2(VERSION, A, 7, 3, 5, 2, True)


def test_this_version_holds_repeated_headers_in_the_order_of_the_request() -> None:
    envelope = introduce(("accept", "1"), ("via", "x"), ("accept", "2"))

    assert read_envelopes(batch(written(envelope))) == ([envelope], 0)


def test_a_field_that_a_later_release_adds_at_the_end_is_skipped() -> None:
    item = raw([3, CONNECTION, 1, 1, "text", "added later"])

    assert read_envelopes(batch(item)) == ([Dispatch(CONNECTION, 1, 1, "text")], 0)


def test_a_header_field_that_a_later_release_adds_at_the_end_is_skipped() -> None:
    payload = (
        b"\x92"
        + raw([VERSION, A, 7, 3, 5, 2, True, 9, 8, 16, [4, 4, 6, 7], "added later"])
        + NO_BODY
    )

    found = read(payload)

    assert found is not None
    assert found.header == HEADER
