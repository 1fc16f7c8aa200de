"""How deeply JSON may be nested: to one bound, whatever else is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.json_depth import MAX_DEPTH, NestedTooDeeply, check_depth


def nested(depth: int, within: Any = 1) -> Any:
    """In arrays and objects by turns."""
    for level in range(depth):
        within = [within] if level % 2 else {"a": within, "b": 1}
    return within


def test_as_deep_as_may_be_is_taken() -> None:
    check_depth(json.dumps(nested(MAX_DEPTH)).encode())


def test_one_deeper_is_not() -> None:
    with pytest.raises(NestedTooDeeply, match="nested more than 128 deep"):
        check_depth(json.dumps(nested(MAX_DEPTH + 1)).encode())


@pytest.mark.parametrize("text", ["[" * 500, '"' + "{" * 500, '\\"[' * 500, "\\" + "[" * 500])
def test_what_is_in_strings_does_not_count(text: str) -> None:
    check_depth(json.dumps([text, {text: nested(MAX_DEPTH - 3)}]).encode())
    check_depth(json.dumps(text).encode())
    with pytest.raises(NestedTooDeeply):
        check_depth(json.dumps([text, nested(MAX_DEPTH)]).encode())


def test_many_beside_each_other_are_not_deep() -> None:
    check_depth(json.dumps([[[]]] * 10_000).encode())


values = st.recursive(
    st.text(alphabet='[]{}"\\a', max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), inner),
    max_leaves=20,
)


def depth(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(values)
def test_whatever_is_in_it_its_depth_is_what_counts(value: Any) -> None:
    said = json.dumps(nested(MAX_DEPTH - depth(value), value)).encode()

    check_depth(said)
    with pytest.raises(NestedTooDeeply):
        check_depth(b"[%b]" % said)
