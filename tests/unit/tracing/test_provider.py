"""Where spans go: as the variables of OpenTelemetry say, or where the application has them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider

from gateway.errors import ConfigError
from gateway.tracing import provider
from tests.support.ids import new_worker_id

ME = new_worker_id()


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[trace.TracerProvider]]:
    """The providers that were set up in a process that has none; the last one is in force."""
    made: list[trace.TracerProvider] = [ProxyTracerProvider()]
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: made[-1])
    monkeypatch.setattr(trace, "set_tracer_provider", made.append)
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    yield made
    for each in made:
        if isinstance(each, TracerProvider):
            each.shutdown()


def sdk(found: trace.TracerProvider) -> TracerProvider:
    assert isinstance(found, TracerProvider)
    return found


def processors(found: trace.TracerProvider) -> list[str]:
    every = sdk(found)._active_span_processor._span_processors
    return [type(each.span_exporter).__name__ for each in every]  # type: ignore[attr-defined]


def test_that_of_the_application_is_kept(process: list[trace.TracerProvider]) -> None:
    own = NoOpTracerProvider()
    process.append(own)

    assert provider.provide(ME) is own
    assert len(process) == 2


def test_one_is_set_up_for_the_process_and_the_next_worker_finds_it(
    process: list[trace.TracerProvider],
) -> None:
    made = provider.provide(ME)

    assert provider.provide(new_worker_id()) is made
    assert process[1:] == [made]
    assert processors(made) == []
    named = sdk(made).resource.attributes
    assert (named["service.name"], named["service.instance.id"]) == ("gateway", ME)


def test_its_names_are_those_of_the_environment(
    process: list[trace.TracerProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "chat")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    named = sdk(provider.provide(ME)).resource.attributes

    assert (named["service.name"], named["deployment.environment.name"]) == ("chat", "test")


@pytest.mark.parametrize(
    ("said", "exporters"),
    [
        ("", ["OTLPSpanExporter"]),
        ("otlp", ["OTLPSpanExporter"]),
        (" console , otlp", ["ConsoleSpanExporter", "OTLPSpanExporter"]),
        ("console,none", []),
    ],
)
def test_spans_go_where_the_environment_says(
    process: list[trace.TracerProvider],
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    exporters: list[str],
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", said)

    assert processors(provider.provide(ME)) == exporters


@pytest.mark.parametrize(("said", "protocol"), [("nowhere", ""), ("otlp", "grpc")])
def test_an_exporter_that_is_not_installed_is_told(
    process: list[trace.TracerProvider], monkeypatch: pytest.MonkeyPatch, said: str, protocol: str
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", said)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)

    with pytest.raises(ConfigError, match=f"^OTEL_TRACES_EXPORTER={said} names an exporter"):
        provider.provide(ME)
    assert len(process) == 1


class Flushing(NoOpTracerProvider):
    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate
        self.asked = 0

    def force_flush(self, timeout_ms: int) -> None:
        self.asked += 1
        if not self.gate.wait(timeout_ms / 100):
            raise OSError("it is away")


async def test_a_flush_ends_when_all_is_exported() -> None:
    gate = threading.Event()
    gate.set()
    flushed = Flushing(gate)
    await asyncio.wait_for(provider.flush(flushed), 10)
    await provider.flush(NoOpTracerProvider())  # which has nothing to flush

    assert flushed.asked == 1


async def test_a_flush_waits_no_longer_than_its_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "FLUSH_S", 0.01)
    gate = threading.Event()
    await provider.flush(Flushing(gate))  # the thread gives up after 0.1 s; we have not waited

    assert not gate.is_set()
    gate.set()
