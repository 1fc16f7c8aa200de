"""Links over a Redis that loses: whatever happens to its connections, each answer comes once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway import Gateway
from gateway.redis_support import keys
from tests.integration.applications import Gated, talkative
from tests.integration.chatter import chatter
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import InProcess, in_process, redis_settings
from tests.support.proxy import Proxy
from tests.support.rawclient import raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


def _dispatched(handler: InProcess) -> int:
    """What a worker has to handle, begun or not."""
    queues = handler.worker.parts.runner._queues.values()
    waiting = sum(len(queue.dispatches) for by_name in queues for queue in by_name.values())
    return waiting + len(handler.worker.parts.runner._running)


@asynccontextmanager
async def apart(
    edge_url: str, handler_url: str, prefix: str, gateway: Gateway | None = None
) -> AsyncIterator[tuple[InProcess, InProcess]]:
    """An edge and a handler worker, each with its own way to Redis: every message takes it."""
    edge_own = redis_settings(edge_url, prefix, role="edge", outbox_bytes=1 << 24)
    handler_own = redis_settings(handler_url, prefix, role="handler")
    async with in_process(handler_own, gateway) as handler, in_process(edge_own) as edge:
        await eventually(lambda: edge.worker.parts.members.handlers, "a handler")
        yield edge, handler


async def test_connections_to_redis_that_are_reset_lose_no_answer(
    redis_server: RedisServer,
) -> None:
    async with (
        Proxy(redis_server.port) as proxy,
        apart(proxy.url, proxy.url, "resets") as (edge, handler),
        chatter(edge.ws_url) as talk,
    ):
        counted = Counted(edge, handler)
        for _ in range(6):
            await talk.more(40)
            proxy.reset()
        await talk.more(200)

        assert counted("gateway_link_resends_total") > 0
        assert counted("gateway_resyncs_total") > 0


async def test_subscriptions_that_are_killed_lose_no_answer(own_redis: RedisServer) -> None:
    async with (
        apart(own_redis.url, own_redis.url, "kills") as (edge, handler),
        chatter(edge.ws_url) as talk,
    ):
        counted = Counted(edge, handler)
        with own_redis.client() as redis:
            for _ in range(6):
                await talk.more(40)
                redis.client_kill_filter(_type="pubsub")
        await talk.more(200)

        assert counted("gateway_resyncs_total") > 0


async def test_over_a_redis_far_away_batches_become_larger(redis_server: RedisServer) -> None:
    async with (
        Proxy(redis_server.port, delay_s=0.02) as proxy,
        apart(proxy.url, proxy.url, "far") as (edge, handler),
        chatter(edge.ws_url) as talk,
    ):
        counted = Counted(edge, handler)
        await talk.more(500)

        assert counted("gateway_link_envelopes_total") > counted("gateway_link_batches_total")


async def test_at_the_bound_of_a_link_its_edge_reads_no_more(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What waits for a peer is bounded also when nothing reaches it; then all goes on."""
    bound, text = 300_000, "x" * 50_000
    monkeypatch.setattr("gateway.messaging.peer_queue.MAX_UNACKNOWLEDGED_BYTES", bound)
    async with (
        Proxy(redis_server.port) as proxy,
        apart(proxy.url, redis_server.url, "full") as (edge, handler),
        raw_websocket(edge.port) as one,
        raw_websocket(edge.port) as two,
    ):
        for client in (one, two):
            client.say("hello")
            await client.texts(1)
        proxy.freeze()
        for client in (one, two):
            client.say(*[text] * 10)
        await eventually(lambda: len(edge.worker.parts.dispatcher._blocked) == 2, "the bound")
        assert edge.worker.parts.dispatcher.unanswered < 20  # what cannot be dispatched is not read
        kept = edge.worker.parts.links._queues[handler.worker.me].bytes_kept
        proxy.thaw()

        for client in (one, two):
            assert await client.texts(10) == [f"Received:{text}"] * 10
        assert 0.75 * bound <= kept < bound  # the rest is for connections that have little on it


async def test_at_the_bound_of_a_link_its_handlers_wait(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that cannot leave pile up only so far; then nothing more is begun for that edge."""
    monkeypatch.setattr("gateway.messaging.peer_queue.MAX_UNACKNOWLEDGED_BYTES", 300_000)
    app = Gated(answer="x" * 50_000)
    async with (
        Proxy(redis_server.port) as proxy,
        apart(redis_server.url, proxy.url, "piled", app.gateway) as (edge, handler),
        raw_websocket(edge.port) as one,
        raw_websocket(edge.port) as two,
    ):
        for client in (one, two):
            client.say(*map(str, range(10)))
        await eventually(lambda: _dispatched(handler) == 20, "the messages")
        proxy.freeze()
        app.gate.set()
        await eventually(
            lambda: not handler.worker.parts.links.takes(edge.worker.me, 1 << 20), "the bound"
        )
        begun = len(app.started)
        proxy.thaw()

        for client in (one, two):
            assert await client.texts(10) == ["x" * 50_000] * 10
        assert begun < 10


async def test_an_answer_that_no_link_may_carry_is_an_error(redis_server: RedisServer) -> None:
    url = redis_server.url
    async with (
        apart(url, url, "large", talkative()) as (edge, _),
        raw_websocket(edge.port) as client,
    ):
        client.say(str(1 << 20))
        goodbye, last = await client.rest()

        assert goodbye.text == "Bye!!!"
        assert last.closing == (1011, "handler failed")


async def test_what_anybody_may_publish_harms_no_worker(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings()
    async with in_process(own, Gateway()) as served, in_process(own) as other:
        await eventually(lambda: len(served.worker.parts.members.known) == 2, "acquaintance")
        counted = Counted(served, other)
        with redis_server.client() as redis:
            for junk in (b"", b"junk", b"\x92\x97\x02", b"\xff" * 1000, bytes(range(256))):
                redis.publish(keys.inbox(own.redis_prefix, served.worker.me), junk)
                redis.publish(keys.everyone(own.redis_prefix), junk)
        await eventually(lambda: counted("gateway_envelopes_unreadable_total") == 15, "the count")

        assert served.worker.ready
