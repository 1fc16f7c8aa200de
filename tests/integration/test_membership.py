"""Workers that come, leave and die: whose messages move, when, and that none is lost for it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest
from prometheus_client import REGISTRY

from gateway import Gateway, Message
from gateway.protocol.hash_ring import HashRing
from gateway.protocol.ids import ConnectionId
from gateway.redis_support.client import fence
from gateway.redis_support.url import parse
from gateway.settings.config import Settings
from tests.integration.applications import Gated
from tests.integration.chatter import chatter
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.integration.dying import kill
from tests.integration.listing import all_keys, fenced_workers, listed_workers
from tests.support.inprocess import InProcess, cluster, in_process, redis_settings
from tests.support.proxy import Proxy
from tests.support.rawclient import raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.trace_client import trace_clients
from tests.support.waiting import eventually


async def known_to(edge: InProcess, count: int) -> None:
    await eventually(lambda: len(edge.worker.parts.members.handlers) == count, f"{count} handlers")


async def end(served: InProcess, settings: Settings) -> None:
    """Kill a worker and tell the others, as the supervisor of its process would."""
    dead = served.worker.me
    await kill(served)
    address = parse(settings.redis_url.reveal())
    await asyncio.to_thread(fence, address, settings.redis_prefix, dead, deadline_s=3.0)


async def test_a_worker_that_joins_takes_its_share_in_order(settings: MakeSettings) -> None:
    async with (
        cluster(settings(), 2) as workers,
        chatter(workers[0].ws_url, workers[1].ws_url, each=8) as talk,
    ):
        await talk.more(100)
        async with in_process(settings()) as third:
            newcomer = third.worker.me
            await eventually(lambda: newcomer in talk.handled_by.values(), "its share", 15)
            await talk.more(100)
        await talk.more(100)

        assert newcomer not in talk.handled_by.values()


async def test_an_edge_takes_messages_to_some_of_many_and_to_others_when_those_go(
    settings: MakeSettings,
) -> None:
    """Of six, four: fewer edges take no handling worker. Red without ``handler_subset``."""
    async with cluster(settings(handler_subset=2), 6) as workers:
        edge = workers[0].worker.parts
        await eventually(lambda: len(edge.members.handlers) == 6, "acquaintance")
        targets = set(edge.members.targets)
        assert len(targets) == 4
        workers[0].worker._housekeeping.fold()
        assert REGISTRY.get_sample_value("gateway_handler_targets") == 4
        assert REGISTRY.get_sample_value("gateway_handler_workers") == 6
        async with chatter(workers[0].ws_url, each=24) as talk:
            await talk.more(100)
            assert set(talk.handled_by.values()) <= targets
            for worker in workers[1:]:
                if worker.worker.me in targets:
                    worker.worker.parts.cluster.membership.say(
                        worker.worker.parts.info(leaving=True)
                    )
            staying = {w.worker.me for w in workers} - targets | {edge.me}
            await eventually(
                lambda: staying == set(edge.members.targets) == set(talk.handled_by.values()),
                "those that stay",
            )


async def test_messages_move_only_once_nothing_is_outstanding(settings: MakeSettings) -> None:
    old, new = Gated(), Gated()
    new.gate.set()
    async with (
        in_process(settings(role="edge")) as edge,
        in_process(settings(role="handler"), old.gateway),
    ):
        await known_to(edge, 1)
        async with trace_clients(edge.ws_url, 12) as clients:
            for client in clients:
                await client.socket.send("first")
            await eventually(lambda: len(old.started) == 12, "the first messages")
            async with in_process(settings(role="handler"), new.gateway) as newcomer:
                await known_to(edge, 2)
                handlers = edge.worker.parts.members.handlers
                ring = HashRing()
                targets = [ring.pick(ConnectionId(c.connection), handlers) for c in clients]
                for client in clients:
                    await client.socket.send("second")
                await eventually(
                    lambda: edge.worker.parts.dispatcher.unanswered == 24, "all messages"
                )
                assert not new.started
                old.gate.set()
                for client in clients:
                    answers = [json.loads(await client.socket.recv()) for _ in range(2)]
                    assert [a["text"] for a in answers] == ["Received:first", "Received:second"]

                assert len(new.started) == targets.count(newcomer.worker.me) > 0


async def test_what_a_dead_worker_owed_is_handled_again_under_the_same_id(
    settings: MakeSettings,
) -> None:
    seen: list[tuple[str, int]] = []
    stuck, well = Gateway(), Gateway()

    @stuck.on_message
    async def hang(message: Message) -> None:
        seen.append((message.id, message.attempt))
        await asyncio.sleep(3600)

    @well.on_message
    async def answer(message: Message) -> str:
        seen.append((message.id, message.attempt))
        return message.text

    own = settings(role="handler", lease_seconds=1)
    async with (
        in_process(settings(role="edge", lease_seconds=1)) as edge,
        in_process(own, stuck) as victim,
    ):
        await known_to(edge, 1)
        counted = Counted(edge)
        async with raw_websocket(edge.port) as client:
            client.say("one", "two", "three")
            await eventually(lambda: seen, "the first")
            async with in_process(own, well):
                await known_to(edge, 2)
                await kill(victim)
                assert await client.texts(3) == ["one", "two", "three"]

        assert [attempt for _, attempt in seen] == [1, 2, 2, 2]
        assert seen[0][0] == seen[1][0]
        assert counted("gateway_dispatches_total", path="remote", outcome="moved") == 3


async def test_a_message_that_outlives_three_workers_is_given_up(settings: MakeSettings) -> None:
    apps = [Gated() for _ in range(4)]
    async with in_process(settings(role="edge")) as edge, AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(in_process(settings(role="handler"), app.gateway))
            for app in apps
        ]
        await known_to(edge, 4)
        async with raw_websocket(edge.port, Sec_WebSocket_Protocol="gateway.trace.v1") as client:
            await client.texts(1)
            client.say("poison")
            for attempt in (1, 2, 3):
                await eventually(lambda: any(app.running for app in apps), f"attempt {attempt}")
                [busy] = [place for place, app in enumerate(apps) if app.running]
                await end(workers[busy], settings())
            assert json.loads((await client.receive()).text) == {"error": "handler failed"}
            for app in apps:
                app.gate.set()
            client.say("and now?")
            answer = json.loads((await client.receive()).text)

    assert sorted(app.started for app in apps) == [["and now?"], *[["poison"]] * 3]
    assert (answer["text"], answer["attempt"]) == ("Received:and now?", 1)


async def test_a_worker_fenced_by_its_supervisor_is_replaced_at_once(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    own = settings(lease_seconds=300)
    async with cluster(own, 3) as workers, chatter(workers[0].ws_url) as talk:
        await talk.more(50)
        victim = workers[2].worker.me
        await end(workers[2], own)
        await talk.more(200)

        assert victim not in talk.handled_by.values()
        await eventually(lambda: victim not in listed_workers(redis_server, own), "the sweep")


async def test_a_redis_that_stands_still_fences_nobody(redis_server: RedisServer) -> None:
    async with Proxy(redis_server.port) as proxy:
        own = redis_settings(proxy.url, "still", lease_seconds=1)
        async with cluster(own, 2) as workers, chatter(*(w.ws_url for w in workers)) as talk:
            await talk.more(50)
            proxy.freeze()
            await eventually(
                lambda: not any(w.worker.parts.cluster.lease_guard.may_act for w in workers),
                "leases that may have ended",
            )
            proxy.thaw()
            await talk.more(100)
            await eventually(lambda: all(w.worker.ready for w in workers), "readiness")

        assert not fenced_workers(redis_server, own)


async def test_a_held_worker_handles_nothing_until_it_knows_better(
    redis_server: RedisServer,
) -> None:
    app = Gated()
    app.gate.set()
    async with Proxy(redis_server.port) as proxy:
        own = redis_settings(proxy.url, "held", lease_seconds=1)
        async with in_process(own, app.gateway) as served, raw_websocket(served.port) as client:
            client.say("before")
            await client.texts(1)
            proxy.freeze()
            await eventually(
                lambda: not served.worker.parts.cluster.lease_guard.may_act, "the end of its lease"
            )
            client.say("meanwhile")
            await eventually(lambda: served.worker.parts.dispatcher.unanswered == 1, "the message")
            assert app.started == ["before"]
            proxy.thaw()

            assert await client.texts(1) == ["Received:meanwhile"]


async def test_a_worker_that_was_fenced_meanwhile_closes_its_sockets_and_goes(
    redis_server: RedisServer,
) -> None:
    async with Proxy(redis_server.port) as proxy:
        direct = redis_settings(redis_server.url, "frozen", lease_seconds=1)
        frozen = redis_settings(proxy.url, "frozen", lease_seconds=1)
        async with in_process(direct) as heir, in_process(frozen) as victim:
            dead = victim.worker.me
            await eventually(lambda: dead in heir.worker.parts.members.known, "acquaintance")
            await eventually(
                lambda: heir.worker.parts.members.trusted(heir.worker.parts.now()), "a trusted heir"
            )
            async with raw_websocket(victim.port) as client:
                client.say("hello")
                await client.texts(1)
                proxy.freeze()
                await eventually(lambda: dead in fenced_workers(redis_server, direct), "fence")
                await eventually(lambda: dead not in listed_workers(redis_server, direct), "sweep")
                proxy.thaw()
                goodbye, last = (await client.rest())[-2:]

            assert goodbye.text == "Bye!!!"
            assert last.closing == (3001, "drain")
            assert victim.should_exit
        assert not {key for key in all_keys(redis_server, direct) if key.endswith(dead)}


async def test_a_sweep_that_was_broken_off_is_taken_over(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.registry.redis_leases.CLAIM_S", 0.5)
    monkeypatch.setattr("gateway.registry.redis_sweeps.CLAIM_S", 0.5)
    gone: list[str] = []
    stuck, well = Gateway(), Gateway()

    @stuck.on_disconnect
    async def hang(connection: object) -> None:
        gone.append("begun")
        await asyncio.sleep(3600)

    @well.on_disconnect
    async def note(connection: object) -> None:
        gone.append("done")

    own = settings(lease_seconds=1)
    async with (
        in_process(settings(role="edge", lease_seconds=1)) as victim,
        in_process(own, stuck) as sweeper,
    ):
        await known_to(victim, 1)
        async with raw_websocket(victim.port) as client:
            client.say("hello")
            await eventually(
                lambda: victim.worker.parts.cluster.registration._written_revision, "the entry"
            )
            await kill(victim)
            await eventually(lambda: gone == ["begun"], "a sweep", 10)
            await kill(sweeper)
            async with in_process(own, well):
                await eventually(lambda: "done" in gone, "another sweep", 10)
                await eventually(lambda: len(listed_workers(redis_server, own)) == 1, "its end", 10)
