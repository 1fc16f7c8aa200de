"""What the environment says of traces (``OTEL_*``): refused where it is wrong, and told.

The SDK takes its default for most of what it cannot read, and raises while a worker starts for some
of it. Nothing of OpenTelemetry is imported here. As its specification has it, what is empty is not
set.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from gateway.errors import ConfigError

EXPORTER: Final = "OTEL_TRACES_EXPORTER"
SAMPLER: Final = "OTEL_TRACES_SAMPLER"
SAMPLER_ARG: Final = "OTEL_TRACES_SAMPLER_ARG"
SDK_DISABLED: Final = "OTEL_SDK_DISABLED"
SERVICE_NAME: Final = "OTEL_SERVICE_NAME"
RESOURCE_ATTRIBUTES: Final = "OTEL_RESOURCE_ATTRIBUTES"
QUEUE_SIZE: Final = "OTEL_BSP_MAX_QUEUE_SIZE"
BATCH_SIZE: Final = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"
SCHEDULE_DELAY: Final = "OTEL_BSP_SCHEDULE_DELAY"
EXPORT_TIMEOUT: Final = "OTEL_BSP_EXPORT_TIMEOUT"

PROTOCOLS: Final = ("http/protobuf", "grpc")
COMPRESSIONS: Final = ("none", "gzip", "deflate")
SAMPLERS: Final = (
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
)
BATCHES: Final = {SCHEDULE_DELAY: 5000, QUEUE_SIZE: 2048, BATCH_SIZE: 512, EXPORT_TIMEOUT: 30000}
LIMITS: Final = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT",
    "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
)
_FILES: Final = ("CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY")
_ATTRIBUTE: Final = re.compile(r"[^=]+=.*", re.DOTALL)
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+=[^\x00-\x1f\x7f]*")  # RFC 9110
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_HTTP_ENDPOINT: Final = "http://localhost:4318"
_GRPC_ENDPOINT: Final = "http://localhost:4317"
_HIDDEN: Final = "***"


class Said(NamedTuple):
    """What counts of a variable, or of several of which the first that is set does.

    Attributes:
        value: Empty where none is set.
        variable: The one that counts; where none is set the last, which is the general one.
    """

    value: str
    variable: str


class Effective(NamedTuple):
    """For people. ``source`` is the variable that says it, or "default"."""

    name: str
    value: str
    source: str


def said(*variables: str) -> Said:
    for variable in variables:
        if value := os.environ.get(variable, "").strip():
            return Said(value, variable)
    return Said("", variables[-1])


def of_otlp(what: str) -> Said:
    """What is said of OTLP: for traces alone, or for all that is exported."""
    return said(f"OTEL_EXPORTER_OTLP_TRACES_{what}", f"OTEL_EXPORTER_OTLP_{what}")


def named() -> list[str]:
    """What spans are exported with, in the words of the variable; nothing with ``none``."""
    names = [name.strip() for name in (said(EXPORTER).value or "otlp").split(",")]
    return [] if "none" in names else names


def why_none() -> str | None:
    """Which variable keeps every span from being exported, with its value; None: they are."""
    disabled = said(SDK_DISABLED)
    if disabled.value.lower() == "true":
        return f"{SDK_DISABLED}={disabled.value}"
    return None if named() else f"{EXPORTER}={said(EXPORTER).value}"


def check_environment() -> None:
    """Refuse what cannot be, before anything runs.

    Raises:
        ConfigError: One line: the variable, its value unless that may be secret, and what would be
            right.
    """
    _check_choice(said(SDK_DISABLED), ("true", "false"))
    _check_choice(said(SAMPLER), SAMPLERS)
    if said(SAMPLER).value.lower().endswith("traceidratio"):
        _check_number(said(SAMPLER_ARG), 0.0, 1.0, "a ratio of 0 to 1")
    _check_pairs(said(RESOURCE_ATTRIBUTES), _ATTRIBUTE)
    for variable in LIMITS:
        _check_limit(variable)
    if named():
        _check_batches()
    if any(name.startswith("otlp") for name in named()):
        _check_otlp()


def effective() -> Iterator[Effective]:
    """All that decides where traces go and how many, as the gateway's own provider takes it."""
    yield _effective(said(EXPORTER), "otlp")
    if any(name.startswith("otlp") for name in named()):
        yield _effective(of_otlp("PROTOCOL"), PROTOCOLS[0])
        value, source = _endpoint()
        yield Effective("OTEL_EXPORTER_OTLP_ENDPOINT", _without_user(value), source)
        headers = of_otlp("HEADERS")
        yield _effective(headers._replace(value=_HIDDEN if headers.value else ""), "-")
        yield _effective(of_otlp("TIMEOUT"), "10")
        yield _effective(of_otlp("COMPRESSION"), "none")
    yield _effective(said(SAMPLER), "parentbased_always_on")
    if said(SAMPLER).value.lower().endswith("traceidratio"):
        yield _effective(said(SAMPLER_ARG), "1.0")
    yield _effective(said(SERVICE_NAME), "gateway")
    for variable, default in BATCHES.items() if named() else ():
        yield _effective(said(variable), str(default))
    yield _effective(said(SDK_DISABLED), "false")


def _effective(what: Said, default: str) -> Effective:
    name = what.variable.replace("_OTLP_TRACES_", "_OTLP_")
    return Effective(name, what.value or default, what.variable if what.value else "default")


def _endpoint() -> tuple[str, str]:
    """Where spans are posted to, and who says it."""
    value, variable = of_otlp("ENDPOINT")
    source = variable if value else "default"
    if of_otlp("PROTOCOL").value.lower() == "grpc":
        return value or _GRPC_ENDPOINT, source
    if variable == "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
        return value, source  # as it is
    return f"{(value or _HTTP_ENDPOINT).removesuffix('/')}/v1/traces", source


def _check_otlp() -> None:
    protocol = of_otlp("PROTOCOL")
    _check_choice(protocol, PROTOCOLS)
    _check_choice(of_otlp("COMPRESSION"), COMPRESSIONS)
    _check_number(of_otlp("TIMEOUT"), 0.0, math.inf, "a number of seconds above 0", above=True)
    _check_pairs(of_otlp("HEADERS"), _HEADER)
    _check_endpoint(of_otlp("ENDPOINT"), has_scheme=protocol.value.lower() != "grpc")
    for what in _FILES:
        file = of_otlp(what)
        if file.value and not (Path(file.value).is_file() and os.access(file.value, os.R_OK)):
            raise ConfigError(f"{_given(file)} is no file that can be read")


def _check_choice(what: Said, choices: tuple[str, ...]) -> None:
    if what.value and what.value.lower() not in choices:
        raise ConfigError(f"{_given(what)} is not one of {', '.join(choices)}")


def _check_number(
    what: Said, low: float, high: float, allowed: str, *, above: bool = False
) -> None:
    if not what.value:
        return
    try:
        value = float(what.value)
    except ValueError:
        value = math.nan
    if not low <= value <= high or math.isinf(value) or (above and value == low):
        raise ConfigError(f"{_given(what)} is not {allowed}")


def _check_limit(variable: str) -> None:
    """The SDK raises for it while it is imported, and takes an empty one for a number."""
    raw = os.environ.get(variable)
    if raw is not None and raw.strip().lower() != "unset" and _whole(raw) is None:
        raise ConfigError(f"{variable}={raw!r} is not a whole number from 0 on, or unset")


def _check_batches() -> None:
    sizes = {}
    for variable, default in BATCHES.items():
        what = said(variable)
        sizes[variable] = _whole(what.value) if what.value else default
        if not sizes[variable]:
            raise ConfigError(f"{_given(what)} is not a whole number above 0")
    if sizes[BATCH_SIZE] > sizes[QUEUE_SIZE]:  # type: ignore[operator]  # none of them is None
        raise ConfigError(
            f"{BATCH_SIZE} ({sizes[BATCH_SIZE]}) is over {QUEUE_SIZE} ({sizes[QUEUE_SIZE]})"
        )


def _check_pairs(what: Said, right: re.Pattern[str]) -> None:
    """Values of headers are secrets, so none is told."""
    for place, pair in enumerate(filter(None, map(str.strip, what.value.split(","))), 1):
        name, equals, value = pair.partition("=")
        if not right.fullmatch(f"{unquote(name.strip())}{equals}{unquote(value.strip())}"):
            raise ConfigError(
                f"{what.variable}: entry {place} is not NAME=VALUE, as in NAME=VALUE,NAME=VALUE"
            )


def _check_endpoint(what: Said, *, has_scheme: bool) -> None:
    if not what.value:
        return
    right = not _CONTROL.search(what.value)
    if has_scheme:
        try:
            url = urlsplit(what.value)
            right = right and url.scheme in ("http", "https") and bool(url.hostname)
            right = right and url.port != 0
        except ValueError:  # of the port, or an address in brackets
            right = False
    if not right:
        shown = what._replace(value=_without_user(what.value))
        raise ConfigError(f"{_given(shown)} is no URL: http://HOST:PORT or https://HOST:PORT")


def _without_user(url: str) -> str:
    """A user and a password may stand there."""
    before, at, rest = url.rpartition("@")
    if not at:
        return url
    scheme, slashes, _ = before.partition("//")
    return f"{scheme}{slashes}{_HIDDEN}@{rest}" if slashes else f"{_HIDDEN}@{rest}"


def _whole(text: str) -> int | None:
    try:
        value = int(text)
    except ValueError:
        return None
    return value if value >= 0 else None


def _given(what: Said) -> str:
    return f"{what.variable}={what.value!r}"
