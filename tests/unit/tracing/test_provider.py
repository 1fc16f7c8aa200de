"""Where spans go: as the variables of OpenTelemetry say, or where the application has them."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider, ProxyTracerProvider

from gateway.errors import ConfigError
from gateway.process.serve import check
from gateway.settings.config import Settings
from gateway.tracing import exporters, provider
from tests.support.ids import new_worker_id
from tests.support.logs import capture_logs

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
    return [type(each.span_exporter.exporter).__name__ for each in every]  # type: ignore[attr-defined]


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


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, {"event": "traces exported"}),
        (
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"},
            {"event": "no traces exported", "because": "OTEL_SDK_DISABLED=true"},
        ),
        (
            {"OTEL_TRACES_EXPORTER": "none"},
            {"event": "no traces exported", "because": "OTEL_TRACES_EXPORTER=none"},
        ),
    ],
    ids=["exported", "disabled", "none"],
)
def test_the_log_says_whether_any_are_exported(
    process: list[trace.TracerProvider],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    told: dict[str, str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with capture_logs() as logs:
        made = provider.provide(ME)

    [line] = [each for each in logs if "exported" in each["event"]]
    assert line.items() >= told.items()
    exported = line["event"] == "traces exported"
    recorded = made.get_tracer("test").start_span("message").is_recording()
    assert exported == (recorded and processors(made) != [])


@pytest.mark.parametrize(
    ("said", "protocol", "told"),
    [
        ("nowhere", "", "nowhere"),
        ("otlp", "grpc", "otlp with OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        ("", "grpc", "otlp with OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
    ],
)
def test_an_exporter_that_is_not_installed_is_told_before_a_worker_starts(
    process: list[trace.TracerProvider],
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    protocol: str,
    told: str,
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", said)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    whole = (
        f"^OTEL_TRACES_EXPORTER={told} names an exporter that is not installed; "
        r"there is console, none, otlp \(http/protobuf\)$"
    )

    with pytest.raises(ConfigError, match=whole):
        provider.provide(ME)
    with pytest.raises(ConfigError, match=whole):
        check(Settings(opentelemetry=True))
    check(Settings())
    assert len(process) == 1


@pytest.mark.parametrize("said", ["", "none", "console", "otlp,console"])
def test_what_is_installed_passes_the_check(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", said)

    check(Settings(opentelemetry=True))


def test_where_nothing_is_named_the_check_leaves_it_to_a_provider_of_the_application(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OTEL_TRACES_EXPORTER", raising=False)
    monkeypatch.setattr(exporters, "entry_points", lambda **_: ())

    check(Settings(opentelemetry=True))


class Flushing(NoOpTracerProvider):
    def __init__(self, gate: threading.Event) -> None:
        self.gate = gate
        self.asked = 0

    def force_flush(self, timeout_ms: int) -> None:
        self.asked += 1
        self.gate.wait()  # however short ``timeout_ms`` is, as the SDK's own does
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
    try:
        await asyncio.wait_for(provider.flush(Flushing(gate)), 5)
    finally:
        gate.set()


class Collector(BaseHTTPRequestHandler):
    """What takes OTLP over HTTP; ``server.spans`` has the names of what came."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-encoding"] == "gzip":
            body = gzip.decompress(body)
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope in resource.scope_spans:
                self.server.spans += [span.name for span in scope.spans]  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *said: object) -> None:
        pass


async def test_the_last_spans_of_a_worker_arrive_at_its_collector(
    process: list[trace.TracerProvider], monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        collector.spans = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=collector.serve_forever, args=(0.01,))
        thread.start()
        try:
            monkeypatch.delenv("OTEL_TRACES_EXPORTER")
            endpoint = f"http://127.0.0.1:{collector.server_port}"
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            monkeypatch.setattr(provider, "FLUSH_S", 10.0)
            made = provider.provide(ME)
            made.get_tracer("test").start_span("message").end()
            await provider.flush(made)
        finally:
            collector.shutdown()
            thread.join()

        assert collector.spans == ["message"]  # type: ignore[attr-defined]
