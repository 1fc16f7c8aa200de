"""Who may do what in a channel: each row of the table."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Final

import pytest

from gateway.channels.permissions import (
    may_ask_history,
    may_ask_presence,
    may_publish,
    may_see_members,
    may_subscribe,
    with_positions,
)
from gateway.settings.namespaces import ChannelOptions

NOTHING: Final = ChannelOptions()
KEPT: Final = ChannelOptions(history_size=1, history_ttl=timedelta(seconds=1), presence=True)


@pytest.mark.parametrize(
    ("channel", "user", "allowed", "code"),
    [
        ("room", "ann", (), 103),
        ("room", "ann", ("client",), None),
        ("room", "ann", ("anonymous",), 103),
        ("room", "", ("client",), 103),
        ("room", "", ("anonymous",), 103),
        ("room", "", ("client", "anonymous"), None),
        ("$room", "ann", ("client", "anonymous", "limited"), 103),
        ("$room#ann", "ann", ("client", "anonymous", "limited"), 103),
        ("talk#ann,bob", "bob", ("limited",), None),
        ("talk#ann,bob", "eve", ("limited", "client", "anonymous"), 103),
        ("talk#ann,bob", "ann,bob", ("limited", "client"), 103),
        ("talk#ann,bob", "bob", ("client",), 103),
        ("talk#", "", ("limited", "client", "anonymous"), 103),
        ("talk#ann,", "", ("limited", "client", "anonymous"), 103),
        ("talk#eve#ann", "eve", ("limited", "client"), 103),
        ("talk#eve#ann", "ann", ("limited",), None),
    ],
)
def test_subscribing(channel: str, user: str, allowed: tuple[str, ...], code: int | None) -> None:
    options = ChannelOptions(
        allow_subscribe_for_client="client" in allowed,
        allow_subscribe_for_anonymous="anonymous" in allowed,
        allow_user_limited_channels="limited" in allowed,
    )
    error = may_subscribe(options, channel, user=user)

    assert (error and error.code) == code


ROWS: Final = [
    ("ann", False, (), 103),
    ("ann", False, ("client",), None),
    ("ann", False, ("anonymous",), 103),
    ("ann", False, ("subscriber",), 103),
    ("ann", True, ("subscriber",), None),
    ("", False, ("client",), 103),
    ("", False, ("anonymous",), 103),
    ("", False, ("client", "anonymous"), None),
    ("", True, ("subscriber",), 103),
    ("", True, ("anonymous",), 103),
    ("", True, ("subscriber", "anonymous"), None),
    ("", False, ("subscriber", "anonymous"), 103),
    ("", True, ("client",), 103),
    ("", True, ("client", "anonymous"), None),
]


@pytest.mark.parametrize("verb", ["publish", "history", "presence"])
@pytest.mark.parametrize(("user", "subscribed", "allowed", "code"), ROWS)
def test_publishing_and_asking(
    verb: str, user: str, subscribed: bool, allowed: tuple[str, ...], code: int | None
) -> None:
    options = replace(KEPT, **{f"allow_{verb}_for_{who}": True for who in allowed})  # type: ignore[arg-type]
    rule = {"publish": may_publish, "history": may_ask_history, "presence": may_ask_presence}[verb]
    error = rule(options, user=user, subscribed=subscribed)

    assert (error and error.code) == code


@pytest.mark.parametrize(
    ("user", "allowed", "positions"),
    [
        ("ann", (), False),
        ("ann", ("client",), True),
        ("ann", ("subscriber",), True),
        ("", ("client",), False),
        ("", ("subscriber",), False),
        ("", ("subscriber", "anonymous"), True),
    ],
)
def test_who_may_read_the_history_may_be_positioned_and_recover(
    user: str, allowed: tuple[str, ...], positions: bool
) -> None:
    options = replace(KEPT, **{f"allow_history_for_{who}": True for who in allowed})  # type: ignore[arg-type]
    found = with_positions(options, user=user)

    assert (found.allow_positioning, found.allow_recovery) == (positions, positions)


def test_who_joins_and_leaves_is_told_to_those_who_may_ask_who_is_there() -> None:
    told = replace(KEPT, join_leave=True, allow_presence_for_subscriber=True)

    assert may_see_members(told, user="ann")
    assert not may_see_members(told, user="")
    assert may_see_members(replace(told, allow_presence_for_anonymous=True), user="")
    assert not may_see_members(replace(told, join_leave=False), user="ann")


def test_what_a_namespace_does_not_have_is_not_available() -> None:
    open_to_all = {
        f"allow_{verb}_for_{who}": True
        for verb in ("history", "presence")
        for who in ("client", "anonymous")
    }
    options = replace(NOTHING, **open_to_all)  # type: ignore[arg-type]

    for rule in (may_ask_history, may_ask_presence):
        error = rule(options, user="ann", subscribed=True)
        assert error is not None
        assert error.code == 108
