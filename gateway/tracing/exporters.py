"""Which exporters the environment names (``OTEL_*``). Nothing of OpenTelemetry is imported."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from gateway.errors import ConfigError
from gateway.tracing.environment import EXPORTER, named, of_otlp, said

_OTLP: Final = {"otlp_proto_grpc": "grpc", "otlp_proto_http": "http/protobuf"}
_GROUP: Final = "opentelemetry_traces_exporter"


def exporter(name: str) -> EntryPoint:
    """What makes the exporter that is called so.

    Raises:
        ConfigError: It is not installed.
    """
    wanted = name
    protocol = ""
    if name == "otlp":
        value, variable = of_otlp("PROTOCOL")
        grpc = value.lower() == "grpc"
        wanted = "otlp_proto_grpc" if grpc else "otlp_proto_http"
        protocol = f" with {variable}=grpc" if grpc else ""
    for found in entry_points(group=_GROUP, name=wanted):
        return found
    installed = ", ".join(_there())
    raise ConfigError(
        f"{EXPORTER}={name}{protocol} names an exporter that is not installed; there is {installed}"
    )


def check_named() -> None:
    """Refuse what the environment names and is not there.

    Where it names nothing, nothing is: an application may have set up its own provider.

    Raises:
        ConfigError: An exporter is not installed.
    """
    told: Iterable[str] = (said(EXPORTER).value, of_otlp("PROTOCOL").value)
    if any(told):
        for name in named():
            exporter(name)


def _there() -> list[str]:
    """What may be named instead, for people."""
    names = {"none"}
    for found in entry_points(group=_GROUP):
        protocol = _OTLP.get(found.name)
        names.add(f"otlp ({protocol})" if protocol else found.name)
    return sorted(names)
