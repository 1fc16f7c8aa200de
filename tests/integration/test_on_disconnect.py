"""What the application is told when a connection ends: at least once, in whatever way it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from gateway import Connection, Gateway, Message
from gateway.edge.connection import ClientConnection
from gateway.settings.config import Settings
from tests.integration.conftest import MakeSettings
from tests.integration.dying import kill
from tests.integration.listing import all_keys, fenced_workers
from tests.support.inprocess import cluster, in_process
from tests.support.rawclient import BINARY, RawClient, close_frame, frame, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


class Guestbook:
    """Notes who came and who went, and what they said in between."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.notes: list[str] = []
        self.gone: list[Connection] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.gateway.on_connect(self._connect)
        self.gateway.on_message(self._message)
        self.gateway.on_disconnect(self._disconnect)

    async def _connect(self, connection: Connection) -> str:
        return connection.query

    async def _message(self, message: Message) -> str:
        await self.gate.wait()
        self.notes.append(message.text)
        return message.text

    async def _disconnect(self, connection: Connection) -> None:
        self.notes.append("gone")
        self.gone.append(connection)


@pytest.mark.parametrize(
    "leave",
    [
        lambda client: client.send(close_frame(1000)),
        lambda client: client.send(frame(BINARY, b"")),
        lambda client: client.abort(),
        lambda client: client.end(),
    ],
    ids=["close", "breach", "reset", "end of file"],
)
async def test_it_is_called_once_however_a_connection_ends(
    settings: MakeSettings, leave: Callable[[RawClient], None]
) -> None:
    book = Guestbook()
    async with in_process(settings(), book.gateway) as served:
        async with raw_websocket(served.port, "/communicate?ann") as client:
            client.say("hello")
            await client.texts(1)
            leave(client)
            await client.rest()
        await eventually(lambda: not len(served.worker.parts.dispatcher), "the end")

    assert [connection.user for connection in book.gone] == ["ann"]


async def test_it_is_called_when_the_worker_drains(settings: MakeSettings) -> None:
    book = Guestbook()
    async with (
        in_process(settings(), book.gateway) as served,
        raw_websocket(served.port, "/communicate?ann") as client,
    ):
        served.should_exit = True
        await client.rest()
        await eventually(lambda: book.gone, "on_disconnect")

    assert len(book.gone) == 1


async def test_it_comes_after_every_message_that_is_being_handled(settings: MakeSettings) -> None:
    book = Guestbook()
    book.gate.clear()
    async with in_process(settings(), book.gateway) as served:
        async with raw_websocket(served.port) as client:
            client.say("one", "two", "three")
            [member] = served.worker.parts.hub
            assert isinstance(member, ClientConnection)
            conversation = member._dispatch_state.conversation
            await eventually(lambda: conversation.outstanding == 3, "the messages")
            client.send(close_frame(1000))
            await client.rest()
        book.gate.set()
        await eventually(lambda: book.gone, "on_disconnect")

    assert book.notes == ["one", "two", "three", "gone"]


async def test_one_that_raises_harms_nobody(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        return message.text

    @gateway.on_disconnect
    async def gone(connection: Connection) -> None:
        raise RuntimeError

    async with in_process(settings(), gateway) as served:
        async with raw_websocket(served.port):
            pass
        await eventually(lambda: not len(served.worker.parts.dispatcher), "the end")
        async with raw_websocket(served.port) as client:
            client.say("hello")
            assert await client.texts(1) == ["hello"]


async def test_it_runs_at_the_worker_that_handled_the_messages(settings: MakeSettings) -> None:
    books = Guestbook(), Guestbook()
    async with (
        cluster(settings(), 2, [book.gateway for book in books]) as workers,
        AsyncExitStack() as stack,
    ):
        for number in range(10):
            client = await stack.enter_async_context(raw_websocket(workers[0].port))
            client.say(str(number))
            await client.texts(1)
        await stack.aclose()
        await eventually(lambda: len(books[0].gone) + len(books[1].gone) == 10, "all goodbyes")

        assert all(len(book.notes) == 2 * len(book.gone) > 0 for book in books)


async def test_of_a_dead_worker_it_is_called_by_those_that_live(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """The registry tells who they were: the whole handshake died with their worker."""
    books = [Guestbook(), Guestbook()]
    own = settings(lease_seconds=1)
    async with (
        cluster(own, 2, [book.gateway for book in books]) as (victim, _),
        AsyncExitStack() as stack,
    ):
        for name in ("ann", "bob", "eve"):
            client = await stack.enter_async_context(
                raw_websocket(victim.port, f"/communicate?{name}", User_Agent="test/1")
            )
            client.say("hello")
            await client.texts(1)
        dead = victim.worker.me
        await kill(victim)
        await eventually(lambda: len(books[1].gone) == 3, "three goodbyes", 10)
        await eventually(lambda: not _left(redis_server, own, dead), "a clean registry")

        seen = books[1].gone
        assert {connection.user for connection in seen} == {"ann", "bob", "eve"}
        assert {connection.address for connection in seen} == {"127.0.0.1"}
        assert {connection.headers["user-agent"] for connection in seen} == {"test/1"}
        assert fenced_workers(redis_server, own) == {dead}


async def test_it_waits_for_handlers_that_are_away_when_a_connection_ends(
    settings: MakeSettings,
) -> None:
    """Red when an edge takes the absence of handlers for their lack of interest."""
    before, after = Guestbook(), Guestbook()
    async with in_process(settings(role="edge")) as edge, AsyncExitStack() as stack:
        async with in_process(settings(role="handler"), before.gateway):
            client = await stack.enter_async_context(raw_websocket(edge.port, "/communicate?ann"))
        await eventually(lambda: not edge.worker.parts.members.handlers, "the absence")
        client.abort()
        await eventually(lambda: not edge.worker.parts.admission.connections, "the end")
        async with in_process(settings(role="handler"), after.gateway):
            await eventually(lambda: after.gone, "on_disconnect")

    assert [connection.user for connection in after.gone] == ["ann"]
    assert not before.gone


async def test_a_sweep_waits_for_handlers_that_are_away(settings: MakeSettings) -> None:
    book = Guestbook()
    edge_settings = settings(role="edge", lease_seconds=1)
    handler_settings = settings(role="handler", lease_seconds=1)
    async with (
        in_process(edge_settings) as heir,
        in_process(edge_settings) as victim,
        AsyncExitStack() as stack,
    ):
        async with in_process(handler_settings, Guestbook().gateway):
            await eventually(lambda: heir.worker.parts.members.handlers, "a handler")
            client = await stack.enter_async_context(raw_websocket(victim.port, "/communicate?ann"))
            client.say("hello")
            await client.texts(1)
        await eventually(lambda: not heir.worker.parts.members.handlers, "the absence")
        dead = victim.worker.me
        await kill(victim)
        await eventually(lambda: dead not in heir.worker.parts.members.known, "the fence", 10)
        async with in_process(handler_settings, book.gateway):
            await eventually(lambda: book.gone, "on_disconnect", 10)

    assert [connection.user for connection in book.gone] == ["ann"]


def _left(server: RedisServer, settings: Settings, worker: str) -> set[str]:
    return {key for key in all_keys(server, settings) if worker in key}
