"""Logs for those who write an application, and look on."""

from __future__ import annotations

import io
import logging

import pytest

from gateway import log as logs
from tests.unit.log.test_log import Terminal, _as_before, fail, only_record, to

__all__ = ["_as_before"]  # a fixture, for every test here


@pytest.mark.parametrize("source", ["ours", "theirs"])
@pytest.mark.parametrize(("terminal", "people"), [(True, False), (False, True), (True, True)])
def test_who_looks_on_reads_a_traceback_with_its_message(
    terminal: bool, people: bool, source: str
) -> None:
    """Red when it is one line of JSON without the message; colours are for terminals."""
    stream = Terminal() if terminal else io.StringIO()
    logs.configure("info", "auto", people=people, stream=stream)
    log = logs.get_logger("ours") if source == "ours" else logging.getLogger("theirs")
    try:
        fail("ada")
    except ValueError:
        log.exception("handler failed")

    shown = stream.getvalue()
    assert shown.endswith(
        '    raise ValueError(f"no such user: {cookie}")\nValueError: no such user: cookie of ada\n'
    )
    assert shown.count("cookie of ada") == 1
    assert ("\x1b[" in shown) == terminal
    assert "trace=" not in shown


def test_where_nobody_looks_auto_shows_no_message() -> None:
    stream = io.StringIO()
    try:
        fail("ada")
    except ValueError:
        to(stream, errors="auto").exception("handler failed")

    assert "exception_message" not in only_record(stream)
