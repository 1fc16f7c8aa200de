"""Which pattern decides on a name, and what is no pattern."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.envelopes.hooks import DispatchHook, asking
from gateway.protocol.hooks import HookKind, HookRequest, Patterns, check_pattern
from gateway.protocol.ids import ConnectionId

LETTERS = st.text("ab:", max_size=4)
PATTERN = st.builds(lambda name, star: name + star, LETTERS, st.sampled_from(["", "*"]))


def fits(pattern: str, name: str) -> bool:
    if pattern.endswith("*"):
        return name[: len(pattern) - 1] == pattern[:-1]
    return name == pattern


@given(st.lists(PATTERN, max_size=6), LETTERS)
def test_the_longest_that_fits_decides(patterns: list[str], name: str) -> None:
    fitting = {pattern for pattern in patterns if fits(pattern, name)}
    found = Patterns(patterns).longest(name)

    if not fitting:
        assert found is None
    elif name in fitting:  # as long as any beginning, and exact
        assert found == name
    else:
        assert found == max(fitting, key=len)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("room:1", "room:1"),
        ("room:12", "room:1*"),
        ("room:2", "room:*"),
        ("rooms", "r*"),
        ("lobby", "*"),
        ("room:", "room:*"),
    ],
)
def test_examples(name: str, pattern: str) -> None:
    assert Patterns(["*", "r*", "room:*", "room:1*", "room:1"]).longest(name) == pattern


@pytest.mark.parametrize("pattern", ["*", "room:*", "room:1", "$private", "x" * 255])
def test_a_name_and_a_beginning_are_patterns(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "1 to 255 bytes"),
        ("x" * 256, "1 to 255 bytes"),
        ("room:*:x", "only stand there"),
        ("room:**", "only stand there"),
        ("*x", "only stand there"),
        ("é", "printable ASCII"),
        ("a\n", "printable ASCII"),
    ],
)
def test_what_is_no_pattern_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        check_pattern(pattern)


def test_a_pattern_is_a_text() -> None:
    with pytest.raises(TypeError, match="give a name"):
        check_pattern(7)


# Requests


REQUEST = HookRequest(HookKind.PUBLISH, "room:1", b"1", b"{}", b"[2]", 2000, "server unsubscribe")
CLIENT = ConnectionId("c1")


def test_a_request_comes_out_of_its_envelope_as_it_went_in() -> None:
    assert asking(CLIENT, 4, 2, REQUEST).request == REQUEST


def test_a_request_of_another_release_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="dance"):
        _ = DispatchHook(CLIENT, 4, 2, "dance", "room:1").request


def test_a_request_takes_what_its_parts_take() -> None:
    assert REQUEST.size_bytes == len("room:1") + 1 + 2 + 3
