"""Users, reached by handlers and by ``gateway.client``."""

from __future__ import annotations

import asyncio

import gateway
from gateway import Connection, Gateway, Message, Receipt, Sent
from tests.integration.conftest import MakeSettings
from tests.integration.test_http_listing import sockets
from tests.integration.test_slow_readers import stop_reading
from tests.support.inprocess import cluster


def chatting() -> Gateway:
    """A user is who the query says. ``user: text`` goes to that user, and a number is so long."""
    app = Gateway()

    @app.on_connect
    async def welcome(connection: Connection) -> str:
        return connection.query

    @app.on_message
    async def talk(message: Message) -> str | None:
        user, colon, text = message.text.partition(": ")
        if not colon:
            return "x" * int(text or user)
        if text == "go":
            closed = await app.disconnect_user(user, 4000, "sent away")
            return " ".join(sorted(each.receipt for each in closed))
        sent = await app.send_to_user(user, f"{message.connection.user}: {text}")
        there = await app.connections(user=user)
        assert {each.connection for each in sent} == {each.id for each in there}
        return " ".join(sorted(each.receipt for each in sent))

    return app


async def test_a_handler_reaches_every_connection_of_a_user(settings: MakeSettings) -> None:
    async with cluster(settings(), 2, [chatting(), chatting()]) as (one, two):
        places = ((one, "ann"), (one, "ben"), (two, "ben"), (two, "cy"))
        async with sockets(*places) as (ann, phone, laptop, cy):
            ann.say("ben: hello")
            assert await ann.texts(1) == ["written written"]
            assert await phone.texts(1) + await laptop.texts(1) == ["ann: hello"] * 2
            ann.say("nobody: hello")
            assert await ann.texts(1) == [""]
            ann.say("ben: go")
            assert await ann.texts(1) == ["written written"]
            for client in (phone, laptop):
                assert (await client.rest())[-1].closing == (4000, "sent away")
            cy.say("1")
            assert await cy.texts(1) == ["x"]


async def test_each_connection_of_a_user_has_a_receipt_of_its_own(settings: MakeSettings) -> None:
    own = settings(outbox_bytes=100_000)
    async with (
        cluster(own, 2, [chatting(), chatting()]) as (one, two),
        sockets((one, "ben"), (two, "ben")) as (slow, _),
    ):
        await stop_reading(one, slow)
        sent = await two.gateway.send_to_user("ben", "x" * 100_000)

        assert {each.connection[:16]: each.receipt for each in sent} == {
            one.worker.me: Receipt.SLOW,
            two.worker.me: Receipt.WRITTEN,
        }


async def test_a_process_that_is_no_worker_reaches_users_in_both_ways(
    settings: MakeSettings,
) -> None:
    own = settings()
    url, prefix = own.redis_url.reveal(), own.redis_prefix

    def blocking() -> tuple[list[Connection], list[Sent], list[Sent]]:
        with gateway.client(url, prefix=prefix) as client:
            there = client.connections(user="ben")
            return there, client.send_to_user("ben", "1"), client.disconnect_user("ben")

    async with (
        cluster(own, 2, [chatting(), chatting()]) as (one, two),
        sockets((one, "ben"), (two, "ben"), (two, "ann")) as (phone, laptop, ann),
    ):
        async with gateway.client(url, prefix=prefix) as client:
            sent = await client.send_to_user("ann", "2")
            assert [each.receipt for each in sent] == [Receipt.WRITTEN]
            there, sent, closed = await asyncio.to_thread(blocking)
            assert [each.id for each in await client.connections(user="nobody")] == []

        assert {(each.id, each.user, each.address) for each in there} == {
            (name, "ben", "127.0.0.1") for name in (each.connection for each in sent)
        }
        assert [each.receipt for each in [*sent, *closed]] == [Receipt.WRITTEN] * 4
        assert await phone.texts(1) + await laptop.texts(1) + await ann.texts(1) == ["1", "1", "2"]
        for gone in (phone, laptop):
            assert (await gone.rest())[-1].closing == (3503, "disconnected")
