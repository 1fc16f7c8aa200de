"""Our records in a process that is not ours: safe, whatever it makes of them."""

from __future__ import annotations

import logging

import pytest

from gateway import log as logs

HIDDEN = "a-user-wrote-this"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_of_process", {})
    monkeypatch.setattr(logs._Showing, "configured", False)
    monkeypatch.setattr(logs._Showing, "full", False)
    monkeypatch.setattr(logs._Showing, "as_text", True)


def fail(text: str) -> None:
    kept = f"cookie of {text}"
    raise ValueError(f"no such user: {kept}")


def failed() -> None:
    try:
        fail(HIDDEN)
    except ValueError:
        logs.get_logger("gateway.some").exception("handler failed", connection_id="c", name="n")


def test_a_record_of_ours_is_safe_before_anybody_formats_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Red when a record carries the exception: whoever formats it may show its variables."""
    failed()

    [record] = caplog.records
    assert record.exc_info is None
    assert all(not isinstance(value, BaseException) for value in vars(record).values())
    assert HIDDEN not in str(vars(record))
    assert HIDDEN not in caplog.text
    assert record.getMessage().startswith("handler failed connection_id=c name=n exception=V")
    line = fail.__code__.co_firstlineno + 2
    assert record.getMessage().endswith(f"test_log_hosted.py:{line} fail")


def test_a_record_of_ours_has_its_fields_its_caller_and_a_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed()

    [record] = caplog.records
    assert (record.funcName, record.name) == ("failed", "gateway.some")
    more = vars(record)
    assert (more["connection_id"], more["name_"], more["exception"]) == ("c", "n", "ValueError")
    lines = (record.exc_text or "").splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-2:] == ['    raise ValueError(f"no such user: {kept}")', "ValueError"]


def test_a_process_that_asks_for_it_sees_messages(caplog: pytest.LogCaptureFixture) -> None:
    logs.show_errors("full")

    failed()

    [record] = caplog.records
    assert (record.exc_text or "").endswith(f"ValueError: no such user: cookie of {HIDDEN}")
    assert HIDDEN not in record.getMessage()


def test_levels_of_the_process_decide(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "gateway.some")

    logs.get_logger("gateway.some").warning("quiet")

    assert caplog.records == []
