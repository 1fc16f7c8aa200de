"""Sends to a connection from any worker, and from none: each gets the one true receipt."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

import gateway
from gateway import Connection, Gateway, Message, NotRunning, Receipt
from gateway.protocol.conversation import MAX_IN_FLIGHT
from gateway.redis_support.client import fence
from gateway.redis_support.url import parse
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from tests.integration.applications import Gated, talkative
from tests.integration.conftest import MakeSettings
from tests.integration.test_slow_readers import buffered, stop_reading
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.proxy import Proxy
from tests.support.rawclient import close_frame, raw_websocket, text_frame
from tests.support.waiting import eventually, eventually_async


def only_connection(served: InProcess) -> str:
    [member] = served.worker.parts.hub
    return member.id


def redis_port(settings: Settings) -> int:
    port = urlsplit(settings.redis_url.reveal()).port
    assert port is not None
    return port


@pytest.mark.parametrize("asked", [0, 1])
async def test_any_worker_sends_to_any_socket(settings: MakeSettings, asked: int) -> None:
    async with cluster(settings(), 2) as workers, raw_websocket(workers[0].port) as client:
        receipt = await workers[asked].gateway.send(only_connection(workers[0]), "pushed")

        assert receipt is Receipt.WRITTEN
        assert await client.texts(1) == ["pushed"]


async def test_sends_of_a_handler_come_in_order_and_before_its_answer(
    settings: MakeSettings,
) -> None:
    def counting() -> Gateway:
        app = Gateway()

        @app.on_message
        async def count(message: Message) -> str:
            for n in range(50):
                await app.send(message.connection.id, str(n))
            return "done"

        return app

    async with (
        cluster(settings(), 2, [counting(), counting()]) as workers,
        raw_websocket(workers[0].port) as client,
    ):
        client.say("go")

        assert await client.texts(51) == [*map(str, range(50)), "done"]


@pytest.mark.parametrize("asked", [0, 1])
async def test_what_is_closed_is_gone(settings: MakeSettings, asked: int) -> None:
    async with cluster(settings(), 2) as workers:
        async with raw_websocket(workers[0].port):
            connection = only_connection(workers[0])
        await eventually(lambda: not len(workers[0].worker.parts.hub), "the end")

        assert await workers[asked].gateway.send(connection, "pushed") is Receipt.GONE


async def test_a_connection_that_is_not_let_in_yet_is_unreachable(settings: MakeSettings) -> None:
    app = Gateway()
    receipts: list[Receipt] = []

    @app.on_connect
    async def greet_too_early(connection: Connection) -> None:
        receipts.append(await app.send(connection.id, "welcome"))
        receipts.append(await app.disconnect(connection.id))

    async with in_process(settings(), app) as served, raw_websocket(served.port):
        receipts.append(await app.send(only_connection(served), "welcome"))

    assert receipts == [Receipt.UNREACHABLE, Receipt.UNREACHABLE, Receipt.WRITTEN]


async def test_a_socket_whose_client_has_closed_is_gone_also_before_the_close_is_handled(
    settings: MakeSettings,
) -> None:
    app = Gated()
    async with in_process(settings(), app.gateway) as served, raw_websocket(served.port) as client:
        connection = only_connection(served)
        client.send(*[text_frame("x")] * MAX_IN_FLIGHT, close_frame(1000))
        await eventually(lambda: served.worker.parts.dispatcher.unanswered == MAX_IN_FLIGHT, "all")

        assert await app.gateway.send(connection, "pushed") is Receipt.GONE
        assert await app.gateway.disconnect(connection) is Receipt.GONE
        app.gate.set()


@pytest.mark.parametrize("connection", ["", "x", "a" * 16, "../" * 13, "a" * 16 + "." + "é" * 22])
async def test_what_is_no_connection_id_is_gone(settings: MakeSettings, connection: str) -> None:
    async with in_process(settings()) as served:
        assert await served.gateway.send(connection, "pushed") is Receipt.GONE


async def test_a_worker_that_left_long_ago_is_gone_and_none_that_redis_may_have_forgotten(
    settings: MakeSettings,
) -> None:
    connection = new_connection_id(new_worker_id())
    async with in_process(settings(lease_seconds=4)) as served:
        young = await served.gateway.send(connection, "pushed")
        await eventually_async(lambda: gone(served, connection), "belief in its absence", 15)

    assert young is Receipt.UNREACHABLE


async def gone(served: InProcess, connection: str) -> bool:
    return await served.gateway.send(connection, "pushed") is Receipt.GONE


async def test_a_socket_that_is_full_is_slow_and_nothing_is_queued_for_it(
    settings: MakeSettings,
) -> None:
    own = settings(outbox_bytes=200_000)
    async with (
        cluster(own, 2, [talkative(), talkative()]) as workers,
        raw_websocket(workers[0].port) as client,
    ):
        await stop_reading(workers[0], client)
        before = buffered(workers[0])
        connection = only_connection(workers[0])

        full = await workers[1].gateway.send(connection, "x" * 200_000)
        fits = await workers[1].gateway.send(connection, "y" * (200_000 - before - 100))

        assert (full, fits) == (Receipt.SLOW, Receipt.WRITTEN)
        assert before < buffered(workers[0]) <= 200_000


async def test_a_broker_that_is_cut_off_makes_unreachable_and_the_local_socket_is_not(
    settings: MakeSettings,
) -> None:
    base = settings()
    async with Proxy(redis_port(base)) as proxy:
        own = replace(base, redis_url=Secret(proxy.url))
        async with (
            cluster(own, 2) as workers,
            raw_websocket(workers[0].port) as client,
        ):
            connection = only_connection(workers[0])
            proxy.freeze()

            far = await workers[1].gateway.send(connection, "far")
            near = await workers[0].gateway.send(connection, "near")

            assert (far, near) == (Receipt.UNREACHABLE, Receipt.WRITTEN)
            assert await client.texts(1) == ["near"]
            proxy.thaw()


@pytest.mark.parametrize("asked", [0, 1])
async def test_the_same_key_writes_the_same_text_once(settings: MakeSettings, asked: int) -> None:
    async with cluster(settings(), 2) as workers, raw_websocket(workers[0].port) as client:
        connection = only_connection(workers[0])
        send = workers[asked].gateway.send

        receipts = await asyncio.gather(*(send(connection, "once", key="k") for _ in range(3)))
        receipts.append(await send(connection, "once", key="k"))
        receipts.append(await send(connection, "other", key="k"))
        receipts.append(await send(connection, "once", key="l"))

        assert receipts == [Receipt.WRITTEN] * 6
        assert await client.texts(3) == ["once", "other", "once"]


async def test_when_the_owner_is_fenced_while_it_owes_an_answer_the_connection_is_gone(
    settings: MakeSettings,
) -> None:
    own = settings()
    async with Proxy(redis_port(own)) as proxy:
        behind = replace(own, redis_url=Secret(proxy.url))
        async with (
            in_process(own) as asker,
            in_process(behind) as owner,
            raw_websocket(owner.port),
        ):
            await eventually(lambda: len(asker.worker.parts.members.known) == 2, "acquaintance")
            proxy.freeze()
            sent = asyncio.create_task(asker.gateway.send(only_connection(owner), "pushed"))
            await eventually(
                lambda: asker.worker.parts.requests_to_owners.unanswered, "the question"
            )
            await asyncio.to_thread(
                fence,
                parse(own.redis_url.reveal()),
                own.redis_prefix,
                owner.worker.me,
                deadline_s=10.0,
            )

            assert await sent is Receipt.GONE
            proxy.thaw()


async def test_a_receipt_that_is_lost_on_the_way_and_the_same_send_again_write_once(
    settings: MakeSettings,
) -> None:
    own = settings()
    async with Proxy(redis_port(own)) as proxy:
        behind = replace(own, redis_url=Secret(proxy.url))
        async with (
            in_process(own) as owner,
            in_process(behind) as asker,
            raw_websocket(owner.port) as client,
        ):
            connection = only_connection(owner)
            proxy.freeze_answers()
            first = await asker.gateway.send(connection, "once", key="k")
            proxy.thaw()
            again = await asker.gateway.send(connection, "once", key="k")
            await asker.gateway.send(connection, "the end")

            assert (first, again) == (Receipt.UNREACHABLE, Receipt.WRITTEN)
            assert await client.texts(2) == ["once", "the end"]


@pytest.mark.parametrize("asked", [0, 1])
async def test_any_worker_closes_any_socket_after_what_was_sent(
    settings: MakeSettings, asked: int
) -> None:
    async with cluster(settings(), 2) as workers, raw_websocket(workers[0].port) as client:
        connection = only_connection(workers[0])
        app = workers[asked].gateway
        await app.send(connection, "last words")

        receipt = await app.disconnect(connection, 4100, "moved")

        assert receipt is Receipt.WRITTEN
        frames = await client.rest()
        assert [f.text for f in frames[:-1]] == ["last words", "Bye!!!"]
        assert frames[-1].closing == (4100, "moved")
        assert await app.disconnect(connection) is Receipt.GONE


@pytest.mark.parametrize("text", [b"bytes", {"a": 1}, None, 7])
async def test_what_is_no_text_is_refused(settings: MakeSettings, text: Any) -> None:
    async with in_process(settings()) as served, raw_websocket(served.port):
        with pytest.raises(TypeError, match="not str"):
            await served.gateway.send(only_connection(served), text)


async def test_an_empty_key_is_refused(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        for sending in (
            served.gateway.send("x", "text", key=""),
            served.gateway.send_to_user("ann", "text", key=""),
        ):
            with pytest.raises(ValueError, match="key is empty"):
                await sending


@pytest.mark.parametrize(
    ("code", "reason"), [(1006, "x"), (5000, "x"), (4000, ""), (4000, "x" * 124)]
)
async def test_a_close_that_cannot_be_sent_is_refused(
    settings: MakeSettings, code: int, reason: str
) -> None:
    async with in_process(settings()) as served:
        with pytest.raises(ValueError, match="close"):
            await served.gateway.disconnect("x", code, reason)


async def test_a_gateway_that_does_not_run_says_what_to_do() -> None:
    with pytest.raises(NotRunning, match=r"gateway serve.*lifespan.*gateway\.client"):
        await Gateway().send("x", "y")


async def test_a_process_that_is_no_worker_sends(settings: MakeSettings) -> None:
    own = settings()
    async with (
        in_process(own) as served,
        raw_websocket(served.port) as client,
        gateway.client(own.redis_url.reveal(), prefix=own.redis_prefix) as outside,
    ):
        connection = only_connection(served)

        sent = await asyncio.gather(*(outside.send(connection, str(n)) for n in range(100)))

        assert set(sent) == {Receipt.WRITTEN}
        assert await client.texts(100) == [*map(str, range(100))]
        assert await outside.disconnect(connection) is Receipt.WRITTEN
        assert (await client.rest())[-1].closing == (3503, "disconnected")
        assert await outside.send(connection, "late") is Receipt.GONE
        await eventually(
            lambda: served.worker.parts.links.settled, "no link to a process that has none"
        )


async def test_to_a_process_that_is_no_worker_a_dead_owner_is_gone(settings: MakeSettings) -> None:
    own = settings()
    connection = new_connection_id(new_worker_id())
    async with (
        in_process(own),
        gateway.client(own.redis_url.reveal(), prefix=own.redis_prefix, lease_s=0.001) as outside,
    ):
        assert await outside.send(connection, "pushed") is Receipt.GONE


async def test_a_blocking_process_sends(settings: MakeSettings) -> None:
    own = settings()

    def script(connection: str) -> list[Receipt]:
        with gateway.client(own.redis_url.reveal(), prefix=own.redis_prefix) as outside:
            return [outside.send(connection, "pushed"), outside.disconnect(connection)]

    async with in_process(own) as served, raw_websocket(served.port) as client:
        receipts = await asyncio.to_thread(script, only_connection(served))

        assert receipts == [Receipt.WRITTEN, Receipt.WRITTEN]
        assert await client.texts(1) == ["pushed"]
