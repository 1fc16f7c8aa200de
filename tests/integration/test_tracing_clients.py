"""The trace of a caller that is no worker goes on in the gateway: clients, and commands."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Final

import pytest
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from typer.testing import CliRunner

import gateway
from gateway import Receipt
from gateway.backend_client.asynchronous import inquire
from gateway.backend_client.traced import TracedClientRequests
from gateway.cli import main as cli
from gateway.settings.config import Settings
from gateway.settings.namespaces import parse
from tests.integration.conftest import MakeSettings
from tests.integration.traced_workers import at, edge_and_handler, said
from tests.support.rawclient import raw_websocket
from tests.support.traces import Traces, paths

Tell = Callable[[str, str], Awaitable[object]]  # of a connection or a channel, and a text
Client = Callable[[Settings], AbstractAsyncContextManager[tuple[Tell, Tell]]]


@asynccontextmanager
async def asynchronous(settings: Settings) -> AsyncIterator[tuple[Tell, Tell]]:
    async with gateway.client(settings.redis_url.reveal(), prefix=settings.redis_prefix) as client:
        yield client.send, client.publish


@asynccontextmanager
async def blocking(settings: Settings) -> AsyncIterator[tuple[Tell, Tell]]:
    """In a thread, which has a copy of the caller's context, as threads of a server have."""
    made = gateway.client(settings.redis_url.reveal(), prefix=settings.redis_prefix)
    client = await asyncio.to_thread(made.__enter__)
    try:
        yield (
            lambda to, text: asyncio.to_thread(client.send, to, text),
            lambda to, text: asyncio.to_thread(client.publish, to, text),
        )
    finally:
        await asyncio.to_thread(made.__exit__, None, None, None)


@asynccontextmanager
async def command(settings: Settings) -> AsyncIterator[tuple[Tell, Tell]]:
    """Told by the environment, as no span is current in a process that has just begun."""

    async def run(*arguments: str) -> object:
        said: dict[str, str] = {}
        inject(said)
        environment = {
            "GATEWAY_REDIS_URL": settings.redis_url.reveal(),
            "GATEWAY_REDIS_PREFIX": settings.redis_prefix,
            **{name.upper(): value for name, value in said.items()},
        }
        runner = CliRunner()
        loop = asyncio.get_running_loop()
        alone = contextvars.Context()
        done = await loop.run_in_executor(
            None,
            lambda: alone.run(lambda: runner.invoke(cli.app, arguments, env=environment)),
        )
        assert done.exit_code == 0, done.output
        return done.output

    yield partial(run, "send"), partial(run, "publish", "--text")


KEPT: Final = '{"without_namespace": {"history_size": 9, "history_ttl": "1m", "presence": true}}'
CLIENTS: Final = (asynchronous, blocking, command)


async def test_what_a_client_sends_and_publishes_is_a_part_of_its_callers_trace(
    settings: MakeSettings, traces: Traces
) -> None:
    async with edge_and_handler(settings) as (served, other), raw_websocket(served.port) as socket:
        places = at(served, other)
        [member] = served.worker.parts.hub
        for client in CLIENTS:
            traces.clear()
            async with client(settings()) as (send, publish):
                with trace.get_tracer("caller").start_as_current_span("view"):
                    await send(member.id, "pushed")
                    await publish("news", "said")
                assert await socket.texts(2) == ["pushed", "said"]
                await traces.ended("deliver send")
                await traces.ended("deliver publication")
                view = await traces.ended("view")

            assert paths(traces.trace_of(view), lambda span: said(span, places)) == {
                "view",
                "view > send",
                "view > send > deliver send @edge",
                "view > publish",
                "view > publish > deliver publication @edge",
            }, client


async def test_all_that_a_client_asks_is_a_part_of_its_callers_trace(
    settings: MakeSettings, traces: Traces
) -> None:
    kept = parse("channel", KEPT)
    async with (
        edge_and_handler(settings, channel=kept) as (served, other),
        raw_websocket(served.port),
        gateway.client(settings().redis_url.reveal(), prefix=settings().redis_prefix) as client,
    ):
        places = at(served, other)
        [member] = served.worker.parts.hub
        with trace.get_tracer("caller").start_as_current_span("view"):
            assert await client.subscribe(member.id, "hall") is Receipt.WRITTEN
            await client.unsubscribe(member.id, "hall")
            await inquire(client, member.id)
            await client.history("hall")
            await client.remove_history("hall")
            await client.presence("hall")
            await client.presence_stats("hall")
            await client.channels()
            await client.disconnect_user("nobody")
            await client.disconnect(member.id)
        view = await traces.ended("view")
        await traces.ended("deliver disconnect")

        asked = ("subscribe", "unsubscribe", "inquire", "disconnect")
        read = (
            "history", "remove history", "presence", "presence stats", "channels", "connections",
        )  # fmt: skip
        assert paths(traces.trace_of(view), lambda span: said(span, places)) == {
            "view",
            *(f"view > {name}" for name in (*asked, *read)),
            *(f"view > {name} > deliver {name} @edge" for name in asked),
        }
        traces.clear()
        await client.subscribe("no connection", "hall")
        await client.presence("hall")
        await client.channels()
        await client.connections(user="nobody")
        assert not traces.spans


async def test_without_a_sampled_span_a_client_sends_what_it_always_has(
    settings: MakeSettings, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unwanted(_: object) -> None:
        raise AssertionError("nobody need know who traces")

    monkeypatch.setattr(TracedClientRequests, "_learn", unwanted)
    async with edge_and_handler(settings) as (served, _), raw_websocket(served.port) as socket:
        [member] = served.worker.parts.hub
        for client in CLIENTS:
            traces.clear()
            async with client(settings()) as (send, publish):
                await send(member.id, "of nobody")
                traces.sampler.root = ALWAYS_OFF
                with trace.get_tracer("caller").start_as_current_span("view"):
                    await send(member.id, "pushed")
                    await publish("news", "said")
                assert await socket.texts(3) == ["of nobody", "pushed", "said"]

            assert not traces.spans, client


async def test_a_client_sends_plainly_to_a_worker_that_does_not_trace(
    settings: MakeSettings, traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unwanted(*_: object) -> None:
        raise AssertionError("it may be of a release that cannot read it")

    monkeypatch.setattr("gateway.backend_client.traced.traced", unwanted)
    async with (
        edge_and_handler(settings, edge=False) as (served, _),
        raw_websocket(served.port) as socket,
        asynchronous(settings()) as (send, _),
    ):
        [member] = served.worker.parts.hub
        with trace.get_tracer("caller").start_as_current_span("view"):
            for text in ("one", "two"):
                assert await send(member.id, text) is Receipt.WRITTEN
        assert await socket.texts(2) == ["one", "two"]
        sent = await traces.ended("send")

    assert (sent.attributes or {})["gateway.receipt"] == "written"
    assert not traces.named("deliver send")
