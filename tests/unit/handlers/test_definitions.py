"""What ``on_connect`` may say, and what is made of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gateway import Admit, BadChannel, ChannelLimit, Gateway
from gateway.handlers.definitions import MAX_USER_BYTES, UserTooLong, decision


def decided(returned: object) -> Admit:
    return decision(returned, decided)


NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


def test_an_end_may_be_unix_seconds() -> None:
    assert Admit("ann", 1_700_000_000).expires_unix_s == 1_700_000_000.0


def test_an_end_may_be_a_datetime_of_any_time_zone() -> None:
    in_tokyo = NOON.astimezone(timezone(timedelta(hours=9)))

    assert Admit(expires_at=in_tokyo).expires_unix_s == NOON.timestamp()


def test_without_an_end_it_lasts() -> None:
    assert Admit("ann").expires_unix_s is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (NOON.replace(tzinfo=None), r"has no time zone: make it with datetime\.now\(UTC\)"),
        (math.nan, "is NaN, not Unix seconds"),
        (NOON.timestamp() * 1000, "give Unix seconds, not milliseconds"),
        (math.inf, "None is never"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused_with_what_would_be_right(
    wrong: float | datetime, right: str
) -> None:
    with pytest.raises(ValueError, match=right):
        Admit(expires_at=wrong)


@pytest.mark.parametrize("wrong", ["tomorrow", True, timedelta(hours=1)])
def test_an_end_of_another_type_is_refused_with_the_right_ones(wrong: Any) -> None:
    with pytest.raises(TypeError, match="not Unix seconds, a datetime or None"):
        Admit(expires_at=wrong)


def test_a_user_of_another_type_is_refused_with_the_right_ones() -> None:
    wrong: Any = 7
    with pytest.raises(TypeError, match="user is int, not str or None"):
        Admit(wrong)


@pytest.mark.parametrize("say", [Admit, decided])
def test_a_user_may_have_256_bytes_and_no_more(say: Callable[[str], Admit]) -> None:
    longest = "é" * (MAX_USER_BYTES // 2)

    assert say(longest).user == longest
    with pytest.raises(UserTooLong, match=r"257 UTF-8 bytes, over the limit of 256"):
        say(longest + "x")


@pytest.mark.parametrize(
    ("channels", "error"),
    [
        ("news", TypeError),
        ([7], TypeError),
        (["news", ""], BadChannel),
        ([f"c{n}" for n in range(129)], ChannelLimit),
    ],
)
def test_channels_that_cannot_be_are_refused_where_they_are_named(
    channels: Any, error: type[Exception]
) -> None:
    Admit(channels=[f"c{n}" for n in range(128)])
    with pytest.raises(error):
        Admit(channels=channels)


@pytest.mark.parametrize("returned", [None, "ann", Admit("ann", 5.0)])
def test_what_may_be_returned_is_taken_for_what_it_means(returned: str | Admit | None) -> None:
    meant = returned if isinstance(returned, Admit) else Admit(returned)

    assert decided(returned) == meant


@pytest.mark.parametrize("returned", [7, True, b"ann", ("ann", 5.0), Admit])
def test_anything_else_is_refused_with_the_three_that_are_right(returned: object) -> None:
    with pytest.raises(TypeError, match=r"returned .*, not str, None or Admit"):
        decided(returned)


# Handlers that are refused at once


def nothing_to_take() -> Any:
    async def hello() -> str:
        return "hello"

    return hello


def too_much_to_take() -> Any:
    async def hello(message: Any, session: Any) -> str:
        return "hello"

    return hello


def a_name_to_give() -> Any:
    async def hello(message: Any, *, session: Any) -> str:
        return "hello"

    return hello


def not_asynchronous() -> Any:
    def hello(message: Any) -> str:
        return "hello"

    return hello


def yielding() -> Any:
    async def hello(message: Any) -> Any:
        yield "hello"

    return hello


@pytest.mark.parametrize("kind", ["on_message", "on_connect", "on_disconnect"])
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            nothing_to_take,
            r"hello \(.*test_definitions\.py:\d+\) must take one argument .* it has \(\)",
        ),
        (too_much_to_take, "must take one argument .*message: .*, session"),
        (a_name_to_give, "must take one argument"),
        (not_asynchronous, r"hello \(.*:\d+\) must be an `async def` function"),
        (yielding, r"hello \(.*:\d+\) yields: .* `await gateway\.send"),
        (lambda: "hello", "'hello' must be an `async def` function"),
    ],
)
def test_a_handler_that_could_never_run_is_refused_where_it_is_registered(
    kind: str, make: Callable[[], Any], why: str
) -> None:
    """Red when the first message, or the first client, finds out."""
    with pytest.raises(TypeError, match=why) as refused:
        getattr(Gateway(), kind)(make())

    assert "\n" not in str(refused.value)


class Shop:
    async def hello(self, message: Any) -> str:
        return "hello"


async def with_more(message: Any, *rest: Any, retries: int = 3) -> str:
    return "hello"


@pytest.mark.parametrize(
    "handler",
    [functools.partial(too_much_to_take(), session=None), Shop().hello, with_more],
    ids=["partial", "method", "more"],
)
def test_what_takes_one_argument_in_another_way_is_a_handler(handler: Any) -> None:
    Gateway().on_message(handler)
