"""Trace contexts of W3C: what is one is read, and whatever else comes is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.trace_context import (
    MAX_MEMBERS,
    MAX_TRACEPARENT,
    MAX_TRACESTATE,
    ParentSpan,
    TraceContext,
    read,
    write,
)

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
READ = ParentSpan(int(TRACE, 16), int(SPAN, 16), 1, "")


@given(
    st.integers(1, 2**128 - 1),
    st.integers(1, 2**64 - 1),
    st.integers(0, 255),
    st.sampled_from(["", "a=1", "a=1,b@c=2"]),
)
def test_what_is_written_is_read(trace: int, span: int, flags: int, state: str) -> None:
    parent = ParentSpan(trace, span, flags, state)

    assert read(write(parent)) == parent


@given(st.text(max_size=80), st.text(max_size=80))
def test_whatever_comes_is_a_parent_or_none(traceparent: str, tracestate: str) -> None:
    assert read(TraceContext(traceparent, tracestate)) is None
    read(TraceContext(PARENT, tracestate))


@pytest.mark.parametrize(
    "traceparent",
    [
        "", "00", PARENT + "-", PARENT + "-00", " " + PARENT, PARENT + "\n", PARENT.upper(),
        f"ff-{TRACE}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[1:]}-{SPAN}-01", f"00-{TRACE}-{SPAN}0-01", f"00-{TRACE}-{SPAN}-1",
        f"01-{TRACE}-{SPAN}-01x", f"01-{TRACE}-{SPAN}-01-é",
        "01" + PARENT[2:] + "-" * (MAX_TRACEPARENT - len(PARENT) + 1),
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_none(traceparent: str) -> None:
    assert read(TraceContext(traceparent)) is None


def test_a_later_version_is_read_as_far_as_ours_goes() -> None:
    longest = "01" + PARENT[2:] + "-" * (MAX_TRACEPARENT - len(PARENT))

    assert read(TraceContext(f"01{PARENT[2:]}")) == READ
    assert read(TraceContext(longest)) == READ


@pytest.mark.parametrize(
    "state",
    [
        "a", "=", "a=", "A=1", "a=1,a=2", "a=1,,b=2", "a==", "a=é", "a= ", "a=1\n", "1=2",
        "a@=1", "@a=1", ",".join(f"k{n}=1" for n in range(MAX_MEMBERS + 1)),
        "a=" + "x" * 257, f"a={'x' * 255},b={'x' * 253}",
    ],
)  # fmt: skip
def test_a_bad_tracestate_is_left_out(state: str) -> None:
    assert read(TraceContext(PARENT, state)) == READ


@pytest.mark.parametrize(
    "state",
    [
        "a=1", "a*b/c-d_e=x y", "1a@b=2", "a=1 ,\tb=2", ",".join(f"k{n}=1" for n in range(32)),
        f"a={'x' * 255},b={'x' * 251}y",
    ],
)  # fmt: skip
def test_a_tracestate_is_kept_as_it_came(state: str) -> None:
    assert read(TraceContext(PARENT, state)) == READ._replace(tracestate=state)


def test_a_tracestate_that_has_grown_too_long_goes_no_further() -> None:
    state = f"a={'x' * 255},b={'x' * 253}"

    assert len(state) == MAX_TRACESTATE + 1
    assert write(READ._replace(tracestate=state)) == TraceContext(PARENT)
