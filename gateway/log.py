"""Logs: events with fields, JSON when nobody looks at a terminal.

Never a payload, a header's value or a key. Of an exception, its type and where it was raised; its
message only with ``GATEWAY_LOG_ERRORS=full``, because messages carry what applications put there.
"""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

FRAMES: Final = 20
DEPTH: Final = 4  # of causes, and of groups in groups
MOST_OF_A_GROUP: Final = 8

_of_process: dict[str, str] = {}


def use_standard_logging() -> None:
    """In a process that is not ours and has not set structlog up: ``logging``, not stdout."""
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                structlog.stdlib.filter_by_level,
                structlog.processors.KeyValueRenderer(key_order=["event"]),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=False,
        )


def configure(level: str, errors: str, *, stream: TextIO = sys.stderr) -> None:
    """Send structlog's and the standard library's records to ``stream``, in one form.

    Args:
        level: debug, info, warning or error.
        errors: ``type`` or ``full``: how much of an exception is shown.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_process_fields,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *((_without_reprs, _describe_exception) if errors == "type" else (_describe_fully,)),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if stream.isatty()
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in ("uvicorn.error", "uvicorn.access", "websockets"):
        # uvicorn logs the URL of every handshake, with the query string and what is in it.
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
        logger.setLevel(logging.WARNING)


def bind_worker(worker_id: str) -> None:
    """From here on every record of this process names the worker."""
    _of_process["worker_id"] = worker_id


def _add_process_fields(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for name, value in _of_process.items():
        event.setdefault(name, value)
    return event


def _without_reprs(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    # asyncio puts into its message what it shows of an exception and of a callback's arguments.
    if event.get("logger") == "asyncio":
        text = str(event["event"]).partition("\n")[0]
        event["event"] = text.partition("(")[0] if text.startswith("Exception in") else text
    return event


def _describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return _describe(event, full=False)


def _describe_fully(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return _describe(event, full=True)


def _describe(event: EventDict, *, full: bool) -> EventDict:
    error = _exception(event.pop("exc_info", None))
    if error is not None:
        event.update(_facts(error, full=full, depth=DEPTH))
    return event


def _facts(error: BaseException, *, full: bool, depth: int) -> dict[str, Any]:
    """What is shown of an exception, of what it came from, and of what is in it if it is a group.

    Without the latter, all that a failed worker would say is that its tasks failed.
    """
    facts: dict[str, Any] = {"exception": type(error).__qualname__}
    if full:
        facts["exception_message"] = str(error)
    facts["trace"] = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(error.__traceback__, limit=-FRAMES)
    ]
    if depth == 0:
        return facts
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        facts["cause"] = _facts(cause, full=full, depth=depth - 1)
    if isinstance(error, BaseExceptionGroup):
        some = error.exceptions[:MOST_OF_A_GROUP]
        facts["exceptions"] = [_facts(each, full=full, depth=depth - 1) for each in some]
    return facts


def _exception(given: Any) -> BaseException | None:
    """What logging calls ``exc_info``: an exception, a tuple with one, or true for the current."""
    if isinstance(given, tuple):
        given = given[1]
    if isinstance(given, BaseException):
        return given
    return sys.exc_info()[1] if given else None
