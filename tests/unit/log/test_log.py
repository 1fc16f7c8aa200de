"""Logs: one form for all records, and nothing in them that belongs to clients or applications."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway import log as logs
from gateway.settings.values import Secret

LOGGERS = (None, "asyncio", "uvicorn.error", "uvicorn.access", "websockets", "application")


class Terminal(io.StringIO):
    """A stream that somebody looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging belongs to the process: put it back as it was."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.handlers, logger.level, logger.propagate) for logger in loggers]
    monkeypatch.setattr(logs, "_of_process", {})
    monkeypatch.setattr(logs._Showing, "configured", False)
    monkeypatch.setattr(logs._Showing, "full", False)
    monkeypatch.setattr(logs._Showing, "as_text", True)
    yield
    for logger, handlers, level, propagate in before:
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def to(stream: io.StringIO, level: str = "info", errors: str = "type") -> Any:
    logs.configure(level, errors, stream=stream)
    return logs.get_logger("gateway.some")


def records(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def only_record(stream: io.StringIO) -> dict[str, Any]:
    (record,) = records(stream)
    return record


def fail(secret: str) -> None:
    cookie = f"cookie of {secret}"
    raise ValueError(f"no such user: {cookie}")


# Form


def test_a_record_is_one_json_object_when_nobody_looks() -> None:
    stream = io.StringIO()

    to(stream).warning("inbox resynced", gap_s=1.5, channels=2)

    record = only_record(stream)
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "event": "inbox resynced",
        "level": "warning",
        "logger": "gateway.some",
        "gap_s": 1.5,
        "channels": 2,
    }


def test_a_record_of_the_standard_library_has_the_same_form() -> None:
    stream = io.StringIO()
    to(stream)

    logging.getLogger("application").warning("took %d s", 3)

    record = only_record(stream)
    assert record.pop("timestamp").endswith("Z")
    assert record == {"event": "took 3 s", "level": "warning", "logger": "application"}


def test_a_record_is_a_line_for_people_at_a_terminal() -> None:
    stream = Terminal()

    to(stream).info("worker starts", role="edge")

    assert "worker starts" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("level", "events"),
    [
        ("debug", ["d", "i", "w", "e"]),
        ("info", ["i", "w", "e"]),
        ("warning", ["w", "e"]),
        ("error", ["e"]),
    ],
)
def test_the_level_says_what_is_the_least_that_is_logged(level: str, events: list[str]) -> None:
    stream = io.StringIO()
    log = to(stream, level)
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name[0])

    assert [record["event"] for record in records(stream)] == events


def test_configuring_again_does_not_log_twice() -> None:
    stream = io.StringIO()
    to(stream)

    to(stream).info("once")

    assert len(records(stream)) == 1


# Context


def test_every_record_names_the_worker_once_it_is_known() -> None:
    stream = io.StringIO()
    log = to(stream)
    logs.bind_worker("w" * 16)

    log.info("ours")
    logging.getLogger("application").warning("theirs")

    assert [record["worker_id"] for record in records(stream)] == ["w" * 16] * 2


def test_a_record_of_a_handler_names_the_connection() -> None:
    stream = io.StringIO()
    log = to(stream)
    structlog.contextvars.bind_contextvars(connection_id="c")

    log.info("ours")
    logging.getLogger("application").warning("theirs")

    assert [record["connection_id"] for record in records(stream)] == ["c"] * 2


def test_what_a_record_says_itself_goes_before_what_is_bound() -> None:
    stream = io.StringIO()
    log = to(stream)
    logs.bind_worker("w" * 16)

    log.info("swept", worker_id="other")

    assert only_record(stream)["worker_id"] == "other"


# What is not shown


@pytest.mark.parametrize("logger", ["uvicorn.error", "uvicorn.access", "websockets"])
def test_servers_do_not_log_the_url_of_every_handshake(logger: str) -> None:
    stream = io.StringIO()
    to(stream, "debug")

    logging.getLogger(logger).info('"WebSocket /communicate?token=hidden" [accepted]')
    logging.getLogger(logger).warning("something is wrong")

    assert [record["event"] for record in records(stream)] == ["something is wrong"]


def test_what_a_server_has_set_up_for_itself_is_taken_away() -> None:
    stream, theirs = io.StringIO(), io.StringIO()
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate = [logging.StreamHandler(theirs)], False

    to(stream)
    logger.warning("something is wrong")

    assert (len(records(stream)), theirs.getvalue()) == (1, "")


def test_a_secret_is_not_shown() -> None:
    stream = io.StringIO()

    to(stream).info("broker", url=Secret("redis://:hidden@host"))

    assert only_record(stream)["url"] == "***"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()], ids=["json", "terminal"])
@pytest.mark.parametrize("source", ["ours", "theirs"])
def test_an_exception_shows_neither_its_message_nor_its_variables(
    stream: io.StringIO, source: str
) -> None:
    stream.seek(0)
    stream.truncate()
    log = to(stream) if source == "ours" else logging.getLogger("application")
    to(stream)
    words = "hidden"
    try:
        fail(words)
    except ValueError:
        log.exception("handler failed")

    assert "ValueError" in stream.getvalue()
    assert words not in stream.getvalue()
    assert "no such user: cookie" not in stream.getvalue()


def test_an_exception_shows_its_type_and_where_it_was_raised() -> None:
    stream = io.StringIO()
    log = to(stream)
    try:
        fail("hidden")
    except ValueError:
        log.exception("handler failed")

    record = only_record(stream)
    assert record["exception"] == "ValueError"
    assert "exception_message" not in record
    assert [frame.rsplit(" ")[-1] for frame in record["trace"]] == [
        "test_an_exception_shows_its_type_and_where_it_was_raised",
        "fail",
    ]


def test_errors_full_shows_the_message_but_still_no_variables() -> None:
    stream = io.StringIO()
    log = to(stream, errors="full")
    try:
        fail("ada")
    except ValueError:
        log.exception("handler failed")

    assert only_record(stream)["exception_message"] == "no such user: cookie of ada"
    assert stream.getvalue().count("cookie") == 1


@pytest.mark.parametrize("errors", ["type", "full"])
def test_the_parts_of_a_group_are_shown_and_what_they_came_from(errors: str) -> None:
    stream = io.StringIO()
    log = to(stream, errors=errors)
    try:
        try:
            fail("ada")
        except ValueError as error:
            raise RuntimeError("retold") from error
    except RuntimeError as error:
        log.critical("worker failed", exc_info=ExceptionGroup("tasks", [error, OSError("full")]))

    record = only_record(stream)
    assert record["exception"] == "ExceptionGroup"
    assert [part["exception"] for part in record["exceptions"]] == ["RuntimeError", "OSError"]
    assert record["exceptions"][0]["cause"]["exception"] == "ValueError"
    assert ("retold" in stream.getvalue()) == (errors == "full")


def test_what_was_being_handled_is_shown_unless_it_was_hidden_on_purpose() -> None:
    stream = io.StringIO()
    log = to(stream)
    for hide in (False, True):
        try:
            try:
                fail("ada")
            except ValueError:
                if hide:
                    raise KeyError("x") from None
                raise KeyError("x")  # noqa: B904 (the very case)
        except KeyError:
            log.exception("failed")

    shown, hidden = records(stream)
    assert shown["cause"]["exception"] == "ValueError"
    assert "cause" not in hidden


def fall(depth: int) -> None:
    if depth:
        fall(depth - 1)
    raise ValueError("at the bottom")


def test_of_a_deep_stack_the_innermost_twenty_frames_are_shown() -> None:
    stream = io.StringIO()
    log = to(stream)
    try:
        fall(100)
    except ValueError:
        log.exception("failed")

    assert [frame.rsplit(" ")[-1] for frame in only_record(stream)["trace"]] == ["fall"] * 20


def test_a_deep_or_wide_failure_makes_no_endless_record() -> None:
    stream = io.StringIO()
    wide = ExceptionGroup("wide", [OSError(str(number)) for number in range(100)])
    deep = RuntimeError("first")
    at: BaseException = deep
    for _ in range(100):
        at.__cause__ = RuntimeError("next")
        at = at.__cause__
    nested: ExceptionGroup[Exception] = ExceptionGroup("innermost", [OSError("full")])
    for _ in range(100):
        nested = ExceptionGroup("outer", [nested])
    log = to(stream)

    for error in (wide, deep, nested):
        log.error("failed", exc_info=error)

    first, second, third = records(stream)
    assert len(first["exceptions"]) == 8
    assert json.dumps(second).count("RuntimeError") == 5
    assert json.dumps(third).count("ExceptionGroup") == 5


@pytest.mark.parametrize("given", [True, False, None, (None, None, None)])
def test_without_an_exception_none_is_shown(given: object) -> None:
    stream = io.StringIO()

    to(stream).info("all is well", exc_info=given)

    assert {"exception", "exc_info"}.isdisjoint(only_record(stream))


async def forgotten_task() -> None:
    async def fails() -> None:
        fail("hidden")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    del task
    gc.collect()


async def failing_callback() -> None:
    def callback(payload: str) -> None:
        fail(payload)

    done = asyncio.Event()
    asyncio.get_running_loop().call_soon(callback, "hidden")
    asyncio.get_running_loop().call_soon(done.set)
    await done.wait()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (forgotten_task, "Task exception was never retrieved"),
        (failing_callback, "Exception in callback "),
    ],
)
async def test_asyncio_does_not_tell_what_an_exception_or_a_callback_holds(
    broken: Any, said: str
) -> None:
    stream = io.StringIO()
    to(stream)

    await broken()

    assert only_record(stream)["event"].startswith(said)
    assert "\n" not in only_record(stream)["event"]
    assert only_record(stream)["exception"] == "ValueError"
    assert "hidden" not in stream.getvalue()


async def test_errors_full_shows_all_that_asyncio_tells() -> None:
    stream = io.StringIO()
    to(stream, errors="full")

    await failing_callback()

    assert "handle: <Handle" in only_record(stream)["event"]


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        (
            "Exception in callback f('hidden')\nhandle: <Handle f('hidden')>",
            "Exception in callback f",
        ),
        ("socket.send() raised exception.", "socket.send() raised exception."),
    ],
)
def test_what_the_standard_loop_tells_is_cut_where_arguments_begin(told: str, shown: str) -> None:
    stream = io.StringIO()
    to(stream)

    logging.getLogger("asyncio").error(told)

    assert only_record(stream)["event"] == shown
