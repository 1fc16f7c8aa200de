"""Two workers and what their spans are called: one holds the sockets, the other one handles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from gateway import Admit, Call, Connection, Gateway, Message, Publishing
from gateway.settings.namespaces import parse
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, in_process
from tests.support.waiting import eventually

SECRET: Final = "what a message says is in no span"
KEY: Final = "the-key"
OPEN: Final = (
    '{"without_namespace": {"allow_subscribe_for_client": true, '
    '"allow_subscribe_for_anonymous": true, "allow_publish_for_client": true, '
    '"allow_publish_for_anonymous": true}}'
)


def application() -> Gateway:
    app = Gateway()

    @app.on_connect
    async def admit(connection: Connection) -> Admit:
        return Admit(channels=["news"])

    @app.on_message
    async def handle(message: Message) -> str:
        with trace.get_tracer("application").start_as_current_span("own"):
            await app.send(message.connection.id, "pushed")
            await app.publish("news", SECRET)
        if message.text == "fail":
            raise ValueError(SECRET)
        return "done"

    @app.on_rpc("*")
    async def greet(call: Call) -> str:
        return "called"

    @app.on_publish("*")
    async def check(publishing: Publishing) -> None:
        trace.get_tracer("application").start_span("checked").end()

    return app


@asynccontextmanager
async def edge_and_handler(
    settings: MakeSettings, *, edge: bool = True, handler: bool = True, **more: Any
) -> AsyncIterator[tuple[InProcess, InProcess]]:
    """Two workers; whether each of them traces. All is handled by the other one."""
    more = {"channel": parse("channel", OPEN), "api_keys": Secret(KEY), **more}
    async with (
        in_process(settings(role="handler", opentelemetry=handler, **more), application()) as other,
        in_process(settings(role="edge", opentelemetry=edge, **more), application()) as served,
    ):
        await eventually(lambda: served.worker.parts.members.handlers, "a handler")
        await eventually(lambda: len(other.worker.parts.members.known) == 2, "the edge")
        yield served, other


def at(served: InProcess, other: InProcess) -> dict[str, str]:
    return {served.worker.me: "edge", other.worker.me: "handler"}


def said(span: ReadableSpan, places: dict[str, str]) -> str:
    place = places.get(str((span.attributes or {}).get("gateway.worker")))
    return span.name if place is None else f"{span.name} @{place}"
