"""Workers that hear nothing, and workers whose Redis is away: who is ready, and who is not."""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import InProcess, in_process, redis_settings
from tests.support.proxy import Proxy
from tests.support.rawclient import handshake, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


class Muffler(Proxy):
    """Swallows what Redis delivers on subscriptions; whatever else it says passes.

    Attributes:
        muffled: Whether it does so now.
    """

    muffled = False

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, open_: asyncio.Event
    ) -> None:
        feed = reader.feed_data  # what comes in is looked at before anybody reads it

        def muffle(data: bytes) -> None:
            if not (self.muffled and b"$7\r\nmessage\r\n" in data):
                feed(data)

        reader.feed_data = muffle  # type: ignore[method-assign,assignment]
        await super()._pump(reader, writer, open_)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback probes ten times as often, and a tenth of the patience before another attempt."""
    for name, seconds in {"PROBE_S": 0.2, "DEAF_S": 0.6}.items():
        monkeypatch.setattr(f"gateway.protocol.subscription_health.{name}", seconds)


async def ready(served: InProcess) -> None:
    await eventually(lambda: served.worker.ready, "readiness", 10)


async def not_ready(served: InProcess) -> None:
    await eventually(lambda: not served.worker.ready, "the end of readiness", 10)


@pytest.mark.usefixtures("hasty")
async def test_a_deaf_worker_subscribes_anew(redis_server: RedisServer) -> None:
    proxy = Muffler(redis_server.port)
    async with proxy:
        own = redis_settings(proxy.url, "deaf")
        async with in_process(own) as served, raw_websocket(served.port) as client:
            counted = Counted(served)
            proxy.muffled = True
            await not_ready(served)
            await eventually(lambda: counted("gateway_resyncs_total"), "another subscription", 10)
            proxy.muffled = False
            await ready(served)
            client.say("hello")

            assert await client.texts(1) == ["Received:hello"]


@pytest.mark.usefixtures("hasty")
async def test_a_worker_that_stays_deaf_leaves(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Muffler(redis_server.port)
    async with proxy:
        own = redis_settings(proxy.url, "hopeless")
        async with in_process(own) as served, raw_websocket(served.port) as client:
            monkeypatch.setattr("gateway.protocol.subscription_health.HOPELESS_S", 3.0)
            proxy.muffled = True
            goodbye, last = (await client.rest())[-2:]

            assert goodbye.text == "Bye!!!"
            assert last.closing == (3001, "drain")
            assert served.should_exit


async def test_while_redis_is_away_sockets_stay_and_handshakes_are_refused(
    redis_server: RedisServer,
) -> None:
    async with Proxy(redis_server.port) as proxy:
        own = redis_settings(proxy.url, "away")
        async with in_process(own) as served, raw_websocket(served.port) as client:
            client.say("before")
            await client.texts(1)
            counted = Counted(served)
            proxy.cut()
            await not_ready(served)
            answer = await handshake(served.port)
            client.say("meanwhile")
            assert await client.texts(1) == ["Received:meanwhile"]
            proxy.mend()
            await ready(served)

            assert answer.status == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert counted("gateway_handshakes_refused_total", reason="not_ready") == 1
            assert counted("gateway_connections_closed_total", code="3001") == 0
            assert (await handshake(served.port)).status == 101


async def test_messages_to_others_wait_while_redis_is_away(redis_server: RedisServer) -> None:
    async with Proxy(redis_server.port) as proxy:
        edge_own = redis_settings(proxy.url, "apart", role="edge")
        handler_own = redis_settings(redis_server.url, "apart", role="handler")
        async with in_process(handler_own), in_process(edge_own) as edge:
            await eventually(lambda: edge.worker.parts.members.handlers, "a handler")
            async with raw_websocket(edge.port) as client:
                client.say("before")
                await client.texts(1)
                proxy.cut()
                await not_ready(edge)
                client.say(*map(str, range(20)))
                await eventually(
                    lambda: edge.worker.parts.dispatcher.unanswered == 20, "the messages"
                )
                proxy.mend()

                assert await client.texts(20) == [f"Received:{number}" for number in range(20)]


async def test_the_first_messages_wait_for_the_registry(redis_server: RedisServer) -> None:
    """A connection that nobody could list is not served; once it is listed, all are answered."""
    async with Proxy(redis_server.port) as proxy:
        own = redis_settings(proxy.url, "unlisted")
        async with in_process(own) as served:
            proxy.freeze()
            async with raw_websocket(served.port) as client:
                client.say("one", "two")
                await eventually(
                    lambda: served.worker.parts.dispatcher.unanswered == 2, "the messages"
                )
                proxy.thaw()

                assert await client.texts(2) == ["Received:one", "Received:two"]


async def test_an_edge_that_lost_a_peers_hint_finds_it_by_its_lease(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    proxy = Muffler(redis_server.port)
    async with proxy:
        own = settings(lease_seconds=2)
        muffled = redis_settings(proxy.url, own.redis_prefix, lease_seconds=2)
        async with in_process(muffled) as hard_of_hearing:
            proxy.muffled = True
            async with in_process(own) as other:
                await eventually(
                    lambda: other.worker.me in hard_of_hearing.worker.parts.members.known,
                    "the other",
                )
                proxy.muffled = False


async def test_a_round_trip_of_a_probe_is_measured(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        counted = Counted(served)

        await eventually(lambda: counted("gateway_broker_roundtrip_seconds_count"), "a probe")
