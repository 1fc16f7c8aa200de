"""What anybody can have logged, without end, is logged now and then."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from gateway import log as logs
from gateway.log.strangers import EACH_S, MESSAGES, OfStrangers


@pytest.fixture
def uvicorn() -> Iterator[logging.Logger]:
    """Their logger, and the one of all; put back as they were."""
    found, root = logging.getLogger("uvicorn.error"), logging.getLogger()
    before = [(one, one.handlers, one.level, one.propagate, one.filters) for one in (found, root)]
    configured = logs._Showing.configured
    yield found
    logs._Showing.configured = configured
    for one, handlers, level, propagate, filters in before:
        one.handlers, one.propagate, one.filters = handlers, propagate, filters
        one.setLevel(level)


def test_a_thousand_strangers_are_one_line(uvicorn: logging.Logger) -> None:
    stream = io.StringIO()
    logs.configure("info", "type", stream=stream)

    for message in MESSAGES * 1000:
        uvicorn.warning(message)
    uvicorn.error("ASGI callable returned without completing response.")

    *strangers, other = map(json.loads, stream.getvalue().splitlines())
    assert [(one["event"], one["times"]) for one in strangers] == [(each, 1) for each in MESSAGES]
    assert {one["level"] for one in strangers} == {"warning"}
    assert other["event"] == "ASGI callable returned without completing response."


@pytest.mark.parametrize("what", [{"order": 7}, ["an", "order"], ValueError("an order")])
def test_an_application_may_log_there_what_is_no_text(
    uvicorn: logging.Logger, what: object
) -> None:
    """Red where a message is looked up as it is: the call that logs a dict raises TypeError."""
    stream = io.StringIO()
    logs.configure("info", "type", stream=stream)

    uvicorn.error(what)

    assert "order" in json.loads(stream.getvalue())["event"]


def test_how_often_they_came_meanwhile_is_said_with_the_next() -> None:
    now = 0.0
    seldom = OfStrangers(lambda name, times: f"{name} {times}", now=lambda: now)
    records = [logging.makeLogRecord({"msg": MESSAGES[0]}) for _ in range(5)]
    passed = [seldom.filter(record) for record in records[:4]]
    now = EACH_S

    assert [*passed, seldom.filter(records[4])] == [True, False, False, False, True]
    assert records[4].msg == f"{MESSAGES[0]} 4"
