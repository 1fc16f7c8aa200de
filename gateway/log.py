"""Logs: events with fields, JSON when nobody looks at a terminal.

Never a payload, a header's value or a key. Of an exception, its type and where it was raised; its
message only with ``GATEWAY_LOG_ERRORS=full``, because messages carry what applications put there.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

_ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_of_process: dict[str, str] = {}


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
        _describe_exception if errors == "type" else _describe_exception_fully,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=_print_frames)
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


def _describe_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return _describe(event, full=False)


def _describe_exception_fully(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return _describe(event, full=True)


def _describe(event: EventDict, *, full: bool) -> EventDict:
    info = _exception_info(event.pop("exc_info", None))
    if info is None:
        return event
    kind, error, trace = info
    event["exception"] = kind.__qualname__
    if full:
        event["exception_message"] = str(error)
    event["trace"] = [
        f"{frame.filename}:{frame.lineno} {frame.name}"
        for frame in traceback.extract_tb(trace, limit=-20)
    ]
    return event


def _exception_info(given: Any) -> _ExceptionInfo | None:
    if isinstance(given, BaseException):
        return type(given), given, given.__traceback__
    if isinstance(given, tuple) and given[0] is not None:
        return given
    if given is True:
        kind, error, trace = sys.exc_info()
        if kind is not None and error is not None:
            return kind, error, trace
    return None


def _print_frames(stream: TextIO, _: Any) -> None:
    """Nothing: frames are a field already."""
