"""``Seldom``: an event that comes without end is logged now and then, with how often it came."""

from __future__ import annotations

from gateway.log.seldom import Seldom


def test_what_comes_meanwhile_is_told_with_the_next() -> None:
    now = 5.0
    seldom = Seldom(10.0, lambda: now)

    assert [seldom.again() for _ in range(3)] == [1, 0, 0]
    now = 14.9
    assert seldom.again() == 0
    now = 15.0
    assert [seldom.again(), seldom.again()] == [4, 0]
