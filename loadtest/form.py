"""Locust's form: what was typed into it, and one line for what cannot be."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from flask import Response, jsonify, request

from loadtest.arguments import Arguments, Refused, check
from loadtest.limits import check_room, ports, raise_files

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtest.run import Run

# The form's names, and locust's own, for what we call differently.
NAMES: Final = {"user_count": "users", "num_users": "users"}
NUMBERS: Final = ("users", "spawn_rate", "rate", "seconds", "p99_ms")
TYPED: Final = (*NUMBERS, "host", "api", "run_time")

log = logging.getLogger(__name__)


def asked_in(run: Run, typed: Mapping[str, Any]) -> Arguments:
    """The arguments of the command line, with what was typed into the page instead.

    Raises:
        Refused: What was typed cannot be.
    """
    first = run.first
    named = {NAMES.get(name, name): value for name, value in typed.items() if value is not None}
    raw = {name: getattr(first, name) for name in Arguments.__slots__}
    raw |= {name: named[name] for name in TYPED if name in named}
    if first.asks_for_own_gateway and raw["host"] == run.own_host:
        raw["host"] = ""
    raw["host"] = str(raw["host"]).rstrip("/") or first.host
    if raw["host"] != first.host:  # what was said of one gateway is not true of another
        raw |= {"compose": "", "redis_metrics": ""}
        raw["api"] = "" if raw["api"] == first.api else raw["api"]
    raw["spawn_rate"] = raw["spawn_rate"] or None  # nothing was said
    asked = check(raw)
    if not run.several_machines:
        check_room(asked, files=raise_files(), ports_per_source=ports())
    return asked


def same_place(one: Arguments, other: Arguments) -> bool:
    return (one.host, one.api) == (other.host, other.api)


def _check_form(run: Run, form: Mapping[str, str]) -> None:
    if run.phase != "idle":
        raise Refused("a test runs: stop it before another is started")
    for field, value in form.items():
        name = NAMES.get(field, field)
        if name in NUMBERS and not value.strip():
            raise Refused(f"{name.replace('_', '-')} is empty")
    asked_in(run, form)


def explain_forms(environment: Environment, run: Run) -> None:
    """Let the page answer a form that cannot be with the reason, before locust reads it."""

    def look() -> Response | None:
        if request.endpoint != "locust.swarm":
            return None
        try:
            _check_form(run, request.form)
        except Refused as refused:
            why = str(refused).removeprefix("--")
            log.error("refused: %s", why)
            return jsonify({"success": False, "message": why, "host": environment.host})
        return None

    environment.web_ui.app.before_request(look)
