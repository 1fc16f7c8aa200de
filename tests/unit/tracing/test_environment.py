"""What the environment says of traces: refused with one line where it is wrong, and told."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

import pytest

from gateway.errors import ConfigError
from gateway.process.serve import check
from gateway.settings.config import Settings
from gateway.tracing import provider
from gateway.tracing.environment import (
    BATCHES,
    COMPRESSIONS,
    LIMITS,
    PROTOCOLS,
    SAMPLERS,
    check_environment,
    effective,
)
from gateway.tracing.variants import variants_of
from tests.support.ids import new_worker_id

OTLP = "OTEL_EXPORTER_OTLP"


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)


def say(monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


WRONG: list[tuple[dict[str, str], str]] = [
    ({"OTEL_SDK_DISABLED": "yes"}, "OTEL_SDK_DISABLED='yes' is not one of true, false"),
    (
        {"OTEL_TRACES_SAMPLER": "sometimes"},
        f"OTEL_TRACES_SAMPLER='sometimes' is not one of {', '.join(SAMPLERS)}",
    ),
    *(
        (
            {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": ratio},
            f"OTEL_TRACES_SAMPLER_ARG={ratio!r} is not a ratio of 0 to 1",
        )
        for sampler in ("traceidratio", "ParentBased_TraceIdRatio")
        for ratio in ("1.01", "-0.1", "1%", "nan", "inf")
    ),
    *(
        ({variable: value}, f"{variable}={value!r} is no URL: http://HOST:PORT or https://HOST:PORT")
        for variable in (f"{OTLP}_ENDPOINT", f"{OTLP}_TRACES_ENDPOINT")
        for value in (
            "collector:4318", "grpc://collector", "http://", "http://a:port", "http://a:70000",
            "http://[::1", "http://a b", "http://a:0",
        )
    ),
    ({f"{OTLP}_ENDPOINT": "ftp://u:s3cret@a"}, f"{OTLP}_ENDPOINT='ftp://***@a' is no URL"),
    ({f"{OTLP}_ENDPOINT": "u:s3cret@a"}, f"{OTLP}_ENDPOINT='***@a' is no URL"),
    (
        {f"{OTLP}_PROTOCOL": "grpc", f"{OTLP}_ENDPOINT": "a b"},
        f"{OTLP}_ENDPOINT='a b' is no URL",
    ),
    *(
        ({variable: value}, f"{variable}={value!r} is not a number of seconds above 0")
        for variable in (f"{OTLP}_TIMEOUT", f"{OTLP}_TRACES_TIMEOUT")
        for value in ("soon", "10s", "0", "-1", "nan", "inf")
    ),
    (
        {f"{OTLP}_PROTOCOL": "http/json"},
        f"{OTLP}_PROTOCOL='http/json' is not one of http/protobuf, grpc",
    ),
    (
        {f"{OTLP}_COMPRESSION": "zip"},
        f"{OTLP}_COMPRESSION='zip' is not one of none, gzip, deflate",
    ),
    *(
        ({variable: f"a=b,{value}"}, f"{variable}: entry 2 is not NAME=VALUE")
        for variable in (f"{OTLP}_HEADERS", f"{OTLP}_TRACES_HEADERS")
        for value in ("s3cret", "=s3cret", "a name=s3cret", "a=s3cret%0d%0ab", "a:s3cret=1")
    ),
    (
        {"OTEL_RESOURCE_ATTRIBUTES": "service"},
        "OTEL_RESOURCE_ATTRIBUTES: entry 1 is not NAME=VALUE",
    ),
    *(
        ({f"{OTLP}_{what}": "/nowhere"}, f"{OTLP}_{what}='/nowhere' is no file that can be read")
        for what in ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
    ),
    ({f"{OTLP}_CERTIFICATE": "/"}, f"{OTLP}_CERTIFICATE='/' is no file that can be read"),
    *(
        ({variable: value}, f"{variable}={value!r} is not a whole number above 0")
        for variable in BATCHES
        for value in ("0", "-1", "many", "1.5")
    ),
    (
        {"OTEL_BSP_MAX_QUEUE_SIZE": "100"},
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE (512) is over OTEL_BSP_MAX_QUEUE_SIZE (100)",
    ),
    *(
        ({variable: value}, f"{variable}={value!r} is not a whole number from 0 on, or unset")
        for variable in LIMITS
        for value in ("-1", "many", "")
    ),
]  # fmt: skip


@pytest.mark.parametrize(("environment", "told"), WRONG, ids=lambda part: str(part)[:60])
def test_what_cannot_be_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str], told: str
) -> None:
    say(monkeypatch, environment)

    with pytest.raises(ConfigError, match=f"^{re.escape(told)}") as refused:
        check(Settings(opentelemetry=True))
    assert "s3cret" not in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match=f"^{re.escape(told)}"):
        variants_of(new_worker_id(), opentelemetry=True)
    check(Settings())


@pytest.mark.parametrize(
    "environment",
    [
        {},
        dict.fromkeys(BATCHES, ""),
        {f"{OTLP}_{what}": "" for what in ("ENDPOINT", "TIMEOUT", "HEADERS", "PROTOCOL")},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"},
        {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"},
        {"OTEL_TRACES_SAMPLER": "traceidratio"},
        {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "whatever"},
        {f"{OTLP}_ENDPOINT": "https://u:p@[::1]:4318/otlp?a=b"},
        {f"{OTLP}_PROTOCOL": "grpc", f"{OTLP}_ENDPOINT": "collector:4317"},
        {f"{OTLP}_TIMEOUT": "0.5"},
        {f"{OTLP}_HEADERS": "api-key=k%3D=, x=%20y ,"},
        {f"{OTLP}_CERTIFICATE": __file__},
        *({f"{OTLP}_COMPRESSION": each} for each in COMPRESSIONS),
        {"OTEL_RESOURCE_ATTRIBUTES": "k8s.pod.labels.app.kubernetes.io/name=a=b,c="},
        {"OTEL_BSP_MAX_QUEUE_SIZE": "512"},
        dict.fromkeys(LIMITS, "unset"),
        dict.fromkeys(LIMITS, "0"),
        {"OTEL_TRACES_EXPORTER": "none", f"{OTLP}_ENDPOINT": "nowhere"},
        {"OTEL_TRACES_EXPORTER": "console", f"{OTLP}_TIMEOUT": "soon"},
        {"OTEL_SDK_DISABLED": "True"},
    ],
)
def test_what_can_be_passes(
    monkeypatch: pytest.MonkeyPatch, environment: Mapping[str, str]
) -> None:
    say(monkeypatch, environment)

    check_environment()


def test_an_empty_variable_of_traces_leaves_it_to_the_general_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    say(monkeypatch, {f"{OTLP}_TRACES_PROTOCOL": "", f"{OTLP}_PROTOCOL": "grpc"})

    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_PROTOCOL=grpc names an exporter"):
        check(Settings(opentelemetry=True))


def told() -> dict[str, tuple[str, str]]:
    return {name: (value, source) for name, value, source in effective()}


def test_what_is_effective_is_told_with_who_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told() == {
        "OTEL_TRACES_EXPORTER": ("otlp", "default"),
        f"{OTLP}_PROTOCOL": (PROTOCOLS[0], "default"),
        f"{OTLP}_ENDPOINT": ("http://localhost:4318/v1/traces", "default"),
        f"{OTLP}_HEADERS": ("-", "default"),
        f"{OTLP}_TIMEOUT": ("10", "default"),
        f"{OTLP}_COMPRESSION": ("none", "default"),
        "OTEL_TRACES_SAMPLER": ("parentbased_always_on", "default"),
        "OTEL_SERVICE_NAME": ("gateway", "default"),
        **{variable: (str(default), "default") for variable, default in BATCHES.items()},
        "OTEL_SDK_DISABLED": ("false", "default"),
    }

    say(
        monkeypatch,
        {
            f"{OTLP}_ENDPOINT": "https://user:s3cret@collector/",
            f"{OTLP}_TRACES_HEADERS": "key=s3cret",
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        },
    )
    assert told()[f"{OTLP}_ENDPOINT"] == (
        "https://***@collector/v1/traces",
        f"{OTLP}_ENDPOINT",
    )
    assert told()[f"{OTLP}_HEADERS"] == ("***", f"{OTLP}_TRACES_HEADERS")
    assert told()["OTEL_TRACES_SAMPLER_ARG"] == ("0.01", "OTEL_TRACES_SAMPLER_ARG")

    say(monkeypatch, {f"{OTLP}_TRACES_ENDPOINT": "http://other:1/x"})
    assert told()[f"{OTLP}_ENDPOINT"] == ("http://other:1/x", f"{OTLP}_TRACES_ENDPOINT")

    say(monkeypatch, {"OTEL_TRACES_EXPORTER": "none"})
    assert set(told()) == {
        "OTEL_TRACES_EXPORTER",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
        "OTEL_SERVICE_NAME",
        "OTEL_SDK_DISABLED",
    }


def test_what_is_told_is_what_the_sdk_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red where a release of the SDK has other defaults, or reads a variable in another way."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    for environment in ({}, {f"{OTLP}_ENDPOINT": "http://a:1/", f"{OTLP}_TRACES_TIMEOUT": "2.5"}):
        say(monkeypatch, environment)
        exporter = OTLPSpanExporter()
        taken = told()
        assert exporter._endpoint == taken[f"{OTLP}_ENDPOINT"][0]
        assert exporter._client._timeout == float(taken[f"{OTLP}_TIMEOUT"][0])
        exporter.shutdown()  # type: ignore[no-untyped-call]
    defaults = dict(
        zip(
            BATCHES,
            (
                "schedule_delay_millis",
                "max_queue_size",
                "max_export_batch_size",
                "export_timeout_millis",
            ),
            strict=True,
        )
    )
    for variable, name in defaults.items():
        assert getattr(BatchSpanProcessor, f"_default_{name}")() == BATCHES[variable]
    for sampler in SAMPLERS:
        say(monkeypatch, {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": "0.5"})
        taken_sampler = TracerProvider(shutdown_on_exit=False).sampler.get_description()
        plain = re.sub(r"[^a-z]", "", taken_sampler.lower())
        last = sampler.rpartition("_")[2]
        assert ("parentbased" in plain) == sampler.startswith("parentbased")
        assert last in plain, (sampler, taken_sampler)


def test_an_exporter_that_cannot_be_set_up_is_told_without_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Broken:
        def load(self) -> object:
            raise ValueError("s3cret")

    monkeypatch.setattr(provider, "exporter", lambda _: Broken())

    with pytest.raises(
        ConfigError, match=r"^OTEL_TRACES_EXPORTER=zipkin cannot be set up: ValueError$"
    ):
        provider._made("zipkin")
