"""What Sentinels answer: taken apart, and which of it counts."""

from __future__ import annotations

import pytest

from gateway.redis_support.sentinel_answers import Answer, choose, read_answer
from gateway.redis_support.stream import Endpoint
from tests.unit.redis_support.fake_sentinel import NEW, OLD, master


@pytest.mark.parametrize(
    ("answers", "known", "chosen"),
    [
        ([Answer(OLD, 3), Answer(NEW, 4), Answer(OLD, 3)], None, NEW),  # the newest, not the most
        ([Answer(OLD, 3), Answer(NEW, 3), Answer(NEW, 3)], None, NEW),
        ([Answer(OLD, 3), Answer(NEW, 3)], None, OLD),  # as many: the first
        ([Answer(OLD, 3), Answer(NEW, 3)], Answer(NEW, 3), NEW),  # or the known
        ([Answer(OLD, 3), Answer(NEW, 4)], Answer(OLD, 3), NEW),
    ],
)
def test_the_newest_configuration_counts(
    answers: list[Answer], known: Answer | None, chosen: Endpoint
) -> None:
    assert choose(answers, known) == chosen


def test_an_answer_is_taken_apart() -> None:
    assert read_answer(master(NEW, 7)) == Answer(NEW, 7)


@pytest.mark.parametrize(
    "told",
    [
        None,
        b"OK",
        [],
        [b"ip"],
        [b"ip", b"here", b"port", b"1"],
        [b"ip", b"", b"port", b"1", b"config-epoch", b"1"],
        [b"ip", b"here", b"port", b"0", b"config-epoch", b"1"],
        [b"ip", b"here", b"port", b"many", b"config-epoch", b"1"],
        [b"ip", [], b"port", b"1", b"config-epoch", b"1"],
        [[], b"here"],
    ],
)
def test_what_is_no_answer_is_an_error(told: object) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        read_answer(told)
