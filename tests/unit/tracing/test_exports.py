"""What becomes of spans that are to be exported: counted, and told without a flood."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from gateway.metrics.families import SPANS
from gateway.tracing import exports
from gateway.tracing.exports import CountedProcessor, LostSpans
from tests.support.logs import capture_logs
from tests.support.ports import free_port

OUTCOMES = ("exported", "failed", "dropped")
ROOM = 4


class Scripted(SpanExporter):
    """Does as ``result`` says, once ``gate`` is open."""

    def __init__(self, result: SpanExportResult | Exception = SpanExportResult.SUCCESS) -> None:
        self.result = result
        self.gate = threading.Event()
        self.gate.set()
        self.taken = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken.set()
        self.gate.wait(30)
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@pytest.fixture(autouse=True)
def _little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", str(ROOM))
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", str(ROOM))
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "60000")


@pytest.fixture
def counted() -> Any:
    """How many of each outcome there were since."""
    before = {each: SPANS.labels(outcome=each)._value.get() for each in OUTCOMES}
    return lambda: {
        each: SPANS.labels(outcome=each)._value.get() - before[each] for each in OUTCOMES
    }


def provider_of(exporter: SpanExporter, **options: Any) -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False, **options)
    provider.add_span_processor(CountedProcessor("otlp", exporter))
    return provider


def end_spans(provider: TracerProvider, spans: int) -> None:
    tracer = provider.get_tracer("test")
    for _ in range(spans):
        tracer.start_span("message").end()


def told(logs: Sequence[Any]) -> list[dict[str, object]]:
    return [
        {name: each[name] for name in ("log_level", "exporter", "failed", "dropped")}
        for each in logs
        if each["event"] == "spans not exported"
    ]


def test_what_arrives_is_counted_and_not_told(counted: Any) -> None:
    with capture_logs() as logs:
        provider = provider_of(Scripted())
        end_spans(provider, ROOM - 1)
        provider.force_flush()

    assert counted() == {"exported": ROOM - 1, "failed": 0, "dropped": 0}
    assert told(logs) == []


@pytest.mark.parametrize("result", [SpanExportResult.FAILURE, OSError("it is away")])
def test_what_is_given_up_is_counted_and_told(
    counted: Any, result: SpanExportResult | Exception
) -> None:
    with capture_logs() as logs:
        provider = provider_of(Scripted(result))
        end_spans(provider, ROOM - 1)
        provider.force_flush()

    assert counted() == {"exported": 0, "failed": ROOM - 1, "dropped": 0}
    assert told(logs) == [
        {"log_level": "warning", "exporter": "otlp", "failed": ROOM - 1, "dropped": 0}
    ]


def test_what_finds_no_room_is_counted_exactly(counted: Any) -> None:
    """Red when the SDK calls its queue something else."""
    exporter = Scripted()
    exporter.gate.clear()
    provider = provider_of(exporter)
    end_spans(provider, ROOM)  # a whole batch, which wakes the thread
    assert exporter.taken.wait(10)
    with capture_logs() as logs:
        end_spans(provider, ROOM)
        assert counted() == {"exported": 0, "failed": 0, "dropped": 0}
        end_spans(provider, 3)
        assert counted() == {"exported": 0, "failed": 0, "dropped": 3}
    exporter.gate.set()
    provider.force_flush()

    assert counted() == {"exported": 2 * ROOM, "failed": 0, "dropped": 3}
    assert [(each["failed"], each["dropped"]) for each in told(logs)] == [(0, 1)]


def test_what_is_not_sampled_is_not_lost(counted: Any) -> None:
    exporter = Scripted()
    exporter.gate.clear()
    provider = provider_of(exporter, sampler=ALWAYS_OFF)
    end_spans(provider, 3 * ROOM)
    exporter.gate.set()

    assert counted() == {"exported": 0, "failed": 0, "dropped": 0}


def test_it_is_told_once_a_minute_with_all_since() -> None:
    clock = [0.0]
    lost = LostSpans("otlp", now=lambda: clock[0])
    with capture_logs() as logs:
        lost.add("failed", 512)
        for now in (0.1, 30.0, 59.9):
            clock[0] = now
            lost.add("failed", 512)
            lost.add("dropped", 1)
        clock[0] = 60.0
        lost.add("dropped", 1)

    assert [(each["failed"], each["dropped"]) for each in told(logs)] == [(512, 0), (1536, 4)]


def test_an_exporter_says_each_kind_of_line_once(
    counted: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.01")  # no time to try again
    logger = logging.getLogger(OTLPSpanExporter.__module__)
    provider = provider_of(OTLPSpanExporter())
    try:
        provider_of(OTLPSpanExporter())  # a second one leaves it at one filter
        for _ in range(3):
            end_spans(provider, 1)
            provider.force_flush()
        [quiet] = [each for each in logger.filters if isinstance(each, exports._Seldom)]
    finally:
        logger.filters[:] = []

    said = [record for record in caplog.records if record.name == logger.name]
    assert counted()["failed"] == 3
    assert len({record.msg for record in said}) == len(said) >= 1
    assert len(quiet._kinds) == len(said)
