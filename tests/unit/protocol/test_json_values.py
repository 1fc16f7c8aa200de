"""What was taken for JSON has a value, whatever numbers are in it."""

from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.centrifuge.replies import NotJson, embeddable, storable
from gateway.protocol.json_depth import MAX_DEPTH
from gateway.protocol.json_values import json_of, value_of
from tests.unit.protocol.test_json_depth import nested

LARGEST = sys.float_info.max
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("said", "value"),
    [
        (b'{"x":1e400}', {"x": LARGEST}),
        (b"[-1e400, 1.5, 7]", [-LARGEST, 1.5, 7]),
        (b"1" * 5000, LARGEST),
        (b'{"a":-' + b"1" * 5000 + b',"b":7}', {"a": -LARGEST, "b": 7}),
        (b"[1e999," + b"1" * 400 + b"]", [LARGEST, int("1" * 400)]),
    ],
)
def test_a_number_that_no_float_holds_is_the_largest_that_one_does(
    said: bytes, value: object
) -> None:
    assert value_of(bytes(embeddable(said))) == value
    assert json.loads(json.dumps(value, allow_nan=False)) == value


@given(VALUES)
def test_everything_else_is_what_json_has_it_for(value: object) -> None:
    try:
        said = json.dumps(value).encode()
        taken = bytes(embeddable(said))
    except ValueError:  # half of a surrogate pair, or a number of thousands of digits
        return

    assert value_of(taken) == json.loads(taken)


def test_what_python_gives_is_written() -> None:
    assert (
        json_of("data", {"a": [1, None, "ü"], "b": (2.5,)})
        == '{"a":[1,null,"ü"],"b":[2.5]}'.encode()
    )
    assert json_of("data", [msgspec.Raw(b'{ "a":\n1 }')]) == b'[{ "a":1 }]'


def looped() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (object(), TypeError, "data cannot be said in JSON: Encoding objects of type object"),
        ((n for n in "ab"), TypeError, "data cannot be said in JSON: Encoding objects of type gen"),
        ({1, object()}, TypeError, "data cannot be said in JSON"),
        ({(1, 2): 1}, TypeError, "data cannot be said in JSON"),
        (10**5000, ValueError, "data cannot be said in JSON"),
        (looped(), ValueError, "data holds itself, or it is nested more than 128 deep"),
        (msgspec.Raw(b"no JSON"), ValueError, "data cannot be said in JSON"),
        ("half \ud800", UnicodeEncodeError, "data has half of a surrogate pair in it"),
        ({"\udc00": 1}, UnicodeEncodeError, "data has half of a surrogate pair in it"),
    ],
    ids=range(9),
)
def test_what_json_cannot_say_is_said_by_its_name(
    value: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        json_of("data", value)


def test_what_is_taken_in_can_be_read_again_far_down_the_stack() -> None:
    """Red while there was no bound but that of the stack on which it came in: an application whose
    stack was higher could not read the history, for as long as that was kept.
    """

    def below(frames: int) -> Any:
        return below(frames - 1) if frames else value_of(said)

    said = json_of("data", nested(MAX_DEPTH))
    assert below(700) == nested(MAX_DEPTH)
    with pytest.raises(ValueError, match="data cannot be said in JSON: it is nested more than 128"):
        json_of("data", nested(MAX_DEPTH + 1))
    with pytest.raises(NotJson, match="nested more than 128 deep"):
        storable(json.dumps(nested(MAX_DEPTH + 1)).encode())
