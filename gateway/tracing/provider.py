"""Where spans go: as the environment variables of OpenTelemetry say (``OTEL_*``).

An application that has set up a provider of its own keeps it, and gets the gateway's spans there.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Final

from opentelemetry import trace
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import ProxyTracerProvider

from gateway.errors import ConfigError
from gateway.log import get_logger
from gateway.protocol.ids import WorkerId
from gateway.settings.version import __version__
from gateway.tracing.environment import EXPORTER, named, why_none
from gateway.tracing.exporters import exporter
from gateway.tracing.exports import CountedProcessor

log = get_logger(__name__)

FLUSH_S: Final = 2.0  # at the end of a worker, which a collector that is away does not hold up


def provide(me: WorkerId) -> trace.TracerProvider:
    """The provider of this process, set up if nobody has.

    Raises:
        ConfigError: ``OTEL_TRACES_EXPORTER`` names what is not installed, or cannot be set up.
    """
    found = trace.get_tracer_provider()
    if not isinstance(found, ProxyTracerProvider):
        return found
    names = named()
    exporters = [_made(name) for name in names]
    own = Resource.create(
        {"service.name": "gateway", "service.version": __version__, "service.instance.id": me}
    )
    resource = own.merge(OTELResourceDetector().detect())
    # Not at exit: it would go on trying for 10 s, where ``flush`` has a bound.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    for name, each in zip(names, exporters, strict=True):
        provider.add_span_processor(CountedProcessor(name, each))
    trace.set_tracer_provider(provider)
    if (why := why_none()) is None:
        log.info("traces exported", exporters=names, sampler=provider.sampler.get_description())
    else:
        log.info("no traces exported", because=why)
    return provider


def _made(name: str) -> SpanExporter:
    make = exporter(name)
    try:
        made: SpanExporter = make.load()()
    except Exception as error:  # its text may have what its variables say, which may be secret
        why = type(error).__name__
        raise ConfigError(f"{EXPORTER}={name} cannot be set up: {why}") from None
    return made


async def flush(provider: trace.TracerProvider) -> None:
    """Export what has ended, for at most ``FLUSH_S``. Raises nothing."""
    force = getattr(provider, "force_flush", None)
    if force is None:
        return
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        try:
            force(int(FLUSH_S * 1000))
        except Exception:
            log.exception("trace flush failed")
        with suppress(RuntimeError):  # the loop has not waited for it
            loop.call_soon_threadsafe(done.set)

    # A daemon: a thread of the loop's executor would be waited for, however long it takes.
    threading.Thread(target=run, name="traces flush", daemon=True).start()
    try:
        await asyncio.wait_for(done.wait(), FLUSH_S)
    except TimeoutError:
        log.warning("traces not flushed", after_s=FLUSH_S)
