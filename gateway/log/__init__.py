"""Logs: events with fields, JSON when nobody looks at a terminal.

Never a payload, a header's value or a key. Of an exception, what ``gateway.log.exceptions`` shows.

Our own records are those of the standard library, safe before anybody else sees them: they carry
no ``exc_info``, from which whatever the surrounding application has set up (structlog, a JSON
formatter, an error tracker) would show variables and messages. In a process that is not ours
nothing is configured: its levels and handlers decide.
"""

from __future__ import annotations

import logging
import sys
from contextvars import Context
from typing import Any, Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.log import exceptions
from gateway.log.strangers import OfStrangers

_of_process: dict[str, str] = {}
_RESERVED: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class _Showing:
    """How this process shows exceptions."""

    configured = False
    full = False
    as_text = True  # a traceback, beside the fields; not where only fields are written


class _Event(str):
    """A record's message, with what it was made of, for our own formatter.

    Not in attributes of the record: other formatters list those.
    """

    name: str
    fields: dict[str, Any]
    facts: dict[str, Any]  # of an exception
    trace: str | None  # the same for people

    def __new__(cls, name: str, fields: dict[str, Any], error: BaseException | None) -> _Event:
        parts = [name, *(f"{key}={value}" for key, value in fields.items())]
        event = super().__new__(cls, " ".join([*parts, *_briefly(error)]))
        event.name = name
        event.fields = fields
        event.facts = {} if error is None else exceptions.facts(error, full=_Showing.full)
        event.trace = _as_text(error)
        return event


class Logger:
    """Logs events with fields under one name.

    Every method takes the event, a constant, and what it is about. ``exc_info`` is as in logging.
    """

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        self._log(logging.ERROR, event, fields)

    def critical(self, event: str, **fields: Any) -> None:
        self._log(logging.CRITICAL, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error, with the exception that is being handled."""
        self._log(logging.ERROR, event, {"exc_info": True} | fields)

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        logger = self._logger
        if not logger.isEnabledFor(level):
            return
        error = exceptions.given(fields.pop("exc_info", None))
        message = _Event(event, fields, error)
        file, line, function, _ = logger.findCaller(stacklevel=3)
        record = logger.makeRecord(logger.name, level, file, line, message, (), None, function)
        # For formatters that list what else a record has.
        for key, value in (_of_process | message.fields | message.facts).items():
            setattr(record, f"{key}_" if key in _RESERVED else key, value)
        record.exc_text = message.trace  # where formatters look for one that is made already
        logger.handle(record)


def get_logger(name: str) -> Logger:
    """The logger of one module. What it says is safe to show, whoever shows it."""
    return Logger(name)


def _briefly(error: BaseException | None) -> list[str]:
    return [] if error is None else [f"exception={exceptions.brief(error)}"]


def _as_text(error: BaseException | None) -> str | None:
    if error is None or not _Showing.as_text:
        return None
    return exceptions.text(error, full=_Showing.full)


def show_errors(errors: str) -> None:
    """How much of an exception is shown in a process that is not ours: ``full``, or less."""
    if not _Showing.configured:
        _Showing.full = errors == "full"


def configure(
    level: str, errors: str, *, people: bool = False, stream: TextIO = sys.stderr
) -> None:
    """Send structlog's and the standard library's records to ``stream``, in one form.

    For processes that are ours alone.

    Args:
        level: debug, info, warning or error.
        errors: ``type`` or ``full``: how much of an exception is shown.
            ``auto`` is full for people.
        people: Lines and tracebacks to read, as always at a terminal, and no JSON.
    """
    people = people or stream.isatty()
    _Showing.configured = True
    _Showing.full = errors == "full" or (errors == "auto" and people)
    _Showing.as_text = people
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        _add_process_fields,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *(() if _Showing.full else (_without_reprs,)),
        _describe_exception,
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
        structlog.dev.ConsoleRenderer(colors=stream.isatty())
        if people
        else structlog.processors.JSONRenderer()
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_take_apart, *shared],
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
        logger.filters = [OfStrangers(lambda name, times: _Event(name, {"times": times}, None))]


def bind_worker(worker_id: str) -> None:
    """From here on every record of this process names the worker."""
    _of_process["worker_id"] = worker_id


def bind_connection(context: Context, connection: str) -> None:
    """What an application logs with structlog in ``context`` names the connection."""
    context.run(structlog.contextvars.bind_contextvars, connection_id=connection)


def _take_apart(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Of a record of ours, the event and its fields."""
    message = event["_record"].msg
    if isinstance(message, _Event):
        event.update(message.fields)
        event.update(_told(message.facts, message.trace))
        event["event"] = message.name
    return event


def _told(facts: dict[str, Any], trace: str | None) -> dict[str, Any]:
    """Of an exception, for our own renderers: either is enough."""
    return facts if trace is None else {"exception": trace}


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
    error = exceptions.given(event.pop("exc_info", None))
    if error is not None:
        event.update(_told(exceptions.facts(error, full=_Showing.full), _as_text(error)))
    return event
