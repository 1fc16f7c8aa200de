"""Locust's page, and what it answers to a form that cannot be: one line."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from flask import Response, jsonify, request
from locust.env import Environment

from loadtest.arguments import Refused
from loadtest.form import NAMES, NUMBERS
from loadtest.run import Run

log = logging.getLogger(__name__)


def _check_form(run: Run, form: Mapping[str, str]) -> None:
    if run.phase != "idle":
        raise Refused("a test runs: stop it before another is started")
    for field, value in form.items():
        name = NAMES.get(field, field)
        if name in NUMBERS and not value.strip():
            raise Refused(f"{name.replace('_', '-')} is empty")
    run.asked_in(form)


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
