"""Which exporters the environment names (``OTEL_*``). Nothing of OpenTelemetry is imported."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from gateway.errors import ConfigError

VARIABLE: Final = "OTEL_TRACES_EXPORTER"
PROTOCOL_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_OTLP: Final = {"otlp_proto_grpc": "grpc", "otlp_proto_http": "http/protobuf"}
_GROUP: Final = "opentelemetry_traces_exporter"


def named() -> list[str]:
    """What spans are exported with, in the words of the variable; nothing with ``none``."""
    said = os.environ.get(VARIABLE, "").strip() or "otlp"
    names = [name.strip() for name in said.split(",")]
    return [] if "none" in names else names


def exporter(name: str) -> EntryPoint:
    """What makes the exporter that is called so.

    Raises:
        ConfigError: It is not installed.
    """
    wanted = name
    protocol = ""
    if name == "otlp":
        variable = next((each for each in PROTOCOL_VARIABLES if each in os.environ), "")
        grpc = os.environ.get(variable) == "grpc"
        wanted = "otlp_proto_grpc" if grpc else "otlp_proto_http"
        protocol = f" with {variable}=grpc" if grpc else ""
    for found in entry_points(group=_GROUP, name=wanted):
        return found
    installed = ", ".join(_there())
    raise ConfigError(
        f"{VARIABLE}={name}{protocol} names an exporter that is not installed; there is {installed}"
    )


def check_named() -> None:
    """Refuse what the environment names and is not there.

    Where it names nothing, nothing is: an application may have set up its own provider.

    Raises:
        ConfigError: An exporter is not installed.
    """
    said: Iterable[str | None] = map(os.environ.get, (VARIABLE, *PROTOCOL_VARIABLES))
    if any(said):
        for name in named():
            exporter(name)


def _there() -> list[str]:
    """What may be named instead, for people."""
    names = {"none"}
    for found in entry_points(group=_GROUP):
        protocol = _OTLP.get(found.name)
        names.add(f"otlp ({protocol})" if protocol else found.name)
    return sorted(names)
