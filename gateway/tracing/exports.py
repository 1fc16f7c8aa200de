"""What becomes of spans that are to be exported: counted, and told where it is nothing.

A collector that is away holds nobody up, and nobody notices it either.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter as Tally
from collections.abc import Callable, Sequence
from typing import Final, Literal

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from gateway.log import get_logger
from gateway.log.seldom import Seldom
from gateway.metrics.families import count_spans

log = get_logger(__name__)

TELL_EACH_S: Final = 60.0
MAX_KINDS: Final = 100  # of an exporter's own records

Lost = Literal["failed", "dropped"]


class LostSpans:
    """Of one exporter. Safe to use from several threads: spans end in one, and leave in another."""

    def __init__(self, exporter: str, now: Callable[[], float] = time.monotonic) -> None:
        self._exporter = exporter
        self._seldom = Seldom(TELL_EACH_S, now)
        self._untold: Tally[str] = Tally()
        self._lock = threading.Lock()

    def add(self, how: Lost, spans: int) -> None:
        """``failed``: the exporter gave them up. ``dropped``: too many waited for it."""
        count_spans(how, spans)
        with self._lock:
            self._untold[how] += spans
            if not self._seldom.again():
                return
            untold, self._untold = self._untold, Tally()
        log.warning(
            "spans not exported",
            exporter=self._exporter,
            failed=untold["failed"],
            dropped=untold["dropped"],
        )


class CountedExporter(SpanExporter):
    """A ``SpanExporter`` whose spans are counted."""

    def __init__(self, exporter: SpanExporter, lost: LostSpans) -> None:
        self.exporter = exporter
        self._lost = lost

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self.exporter.export(spans)
        finally:
            if result is SpanExportResult.SUCCESS:
                count_spans("exported", len(spans))
            else:
                self._lost.add("failed", len(spans))
        return result

    def shutdown(self) -> None:
        self.exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self.exporter.force_flush(timeout_millis)


class CountedProcessor(BatchSpanProcessor):
    """A ``BatchSpanProcessor`` that counts the spans for which there was no room."""

    def __init__(self, name: str, exporter: SpanExporter) -> None:
        self._lost = LostSpans(name)
        super().__init__(CountedExporter(exporter, self._lost))
        _quieten(type(exporter).__module__)

    def on_end(self, span: ReadableSpan) -> None:
        # The SDK keeps what is new, and tells nobody what it took away for it but its own log;
        # tests/unit/tracing/test_exports.py watches these names.
        waiting = self._batch_processor
        full = len(waiting._queue) >= waiting._max_queue_size  # noqa: SLF001
        if full and span.context is not None and span.context.trace_flags.sampled:
            self._lost.add("dropped", 1)
        super().on_end(span)


class _Seldom(logging.Filter):
    """Lets one record of a kind through in ``TELL_EACH_S``: an exporter says each attempt."""

    def __init__(self) -> None:
        super().__init__()
        self._kinds: dict[str, Seldom] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.msg)
        if kind not in self._kinds and len(self._kinds) > MAX_KINDS:
            self._kinds.clear()  # of an exporter that writes its texts out
        seldom = self._kinds.setdefault(kind, Seldom(TELL_EACH_S, time.monotonic))
        return bool(seldom.again())


def _quieten(module: str) -> None:
    logger = logging.getLogger(module)
    if not any(isinstance(each, _Seldom) for each in logger.filters):
        logger.addFilter(_Seldom())
