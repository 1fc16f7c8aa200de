"""Locust's form: what was typed into it, as arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from loadtest.arguments import Arguments, check

# The form's names, and locust's own, for what we call differently.
NAMES: Final = {"user_count": "users", "num_users": "users"}
NUMBERS: Final = ("users", "spawn_rate", "rate", "seconds", "p99_ms", "channels", "history")
TYPED: Final = (*NUMBERS, "host", "api", "run_time")


def asked_in(typed: Mapping[str, Any], first: Arguments, own_host: str) -> Arguments:
    """The arguments of the command line, ``first``, with what was typed into the page instead.

    Args:
        own_host: Where the gateway is that the command line asked for.

    Raises:
        Refused: What was typed cannot be.
    """
    named = {NAMES.get(name, name): value for name, value in typed.items() if value is not None}
    raw = {name: getattr(first, name) for name in Arguments.__slots__}
    raw |= {name: named[name] for name in TYPED if name in named}
    if first.asks_for_own_gateway and raw["host"] == own_host:
        raw["host"] = ""
    raw["host"] = str(raw["host"]).rstrip("/") or first.host
    if raw["host"] != first.host:  # what was said of one gateway is not true of another
        raw |= {"compose": "", "redis_metrics": ""}
        raw["api"] = "" if raw["api"] == first.api else raw["api"]
    raw["spawn_rate"] = raw["spawn_rate"] or None  # nothing was said
    return check(raw)


def same_place(one: Arguments, other: Arguments) -> bool:
    return (one.host, one.api) == (other.host, other.api)
