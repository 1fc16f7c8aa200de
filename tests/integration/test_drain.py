"""What a worker that leaves owes to undecided handshakes and to busy connections."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import pytest
from starlette.websockets import WebSocket

from gateway import Connection, Gateway, Message
from gateway.protocol.ids import WorkerId
from gateway.settings.config import Settings
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.listing import fenced_workers, listed_workers
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.proxy import Proxy
from tests.support.rawclient import RawClient, raw_client, raw_websocket, request
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

BUSY, IDLE = 6, 4
LONG_S = 60.0
AT_ONCE_S = 20.0  # a busy machine included


class Host:
    """Lets in and answers once its gates are open, and notes who came and who went."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.door = asyncio.Event()
        self.gate = asyncio.Event()
        self.asked: list[str] = []
        self.started: list[str] = []
        self.gone: list[str] = []
        self.gateway.on_connect(self._connect)
        self.gateway.on_message(self._message)
        self.gateway.on_disconnect(self._disconnect)

    async def _connect(self, connection: Connection) -> str:
        self.asked.append(connection.query)
        await self.door.wait()
        return connection.query

    async def _message(self, message: Message) -> str:
        self.started.append(message.text)
        await self.gate.wait()
        return message.text

    async def _disconnect(self, connection: Connection) -> None:
        assert connection.user is not None
        self.gone.append(connection.user)


async def stop(served: InProcess) -> float:
    """Stop it kindly. Returns how long that took."""
    began = time.monotonic()
    worker, served.should_exit = served.worker, True
    await eventually(lambda: served.gateway._worker is not worker, "the end", LONG_S + 10)
    return time.monotonic() - began


async def visit(stack: AsyncExitStack, port: int, user: str) -> RawClient:
    return await stack.enter_async_context(raw_websocket(port, f"/communicate?{user}"))


async def ten_visitors(
    stack: AsyncExitStack, served: InProcess, hosts: list[Host]
) -> dict[str, RawClient]:
    """By name: some whose message is being handled, and some that wait for nothing."""
    names = [*(f"busy{n}" for n in range(BUSY)), *(f"idle{n}" for n in range(IDLE))]
    clients = {name: await visit(stack, served.port, name) for name in names}
    for name in names[:BUSY]:
        clients[name].say(name)
    await eventually(lambda: sum(len(host.started) for host in hosts) == BUSY, "the handlers")
    return clients


# What it cannot finish


async def test_what_a_drain_cannot_finish_is_left_to_a_sweep(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """Red when a worker takes the entries of busy connections along: nobody runs on_disconnect."""
    hosts = [Host(), Host()]
    for host in hosts:
        host.door.set()
    own = settings(drain_seconds=0.3)
    async with (
        cluster(own, 2, [host.gateway for host in hosts]) as (leaver, stayer),
        AsyncExitStack() as stack,
    ):
        everybody = await ten_visitors(stack, leaver, hosts)
        me = leaver.worker.me
        await stop(leaver)
        hosts[1].gate.set()

        await eventually(
            lambda: {*hosts[0].gone, *hosts[1].gone} == set(everybody), "all goodbyes", 10
        )
        await eventually(lambda: not _left(redis_server, own.redis_prefix, me), "the sweep", 10)
        assert stayer.worker.ready
        assert len(hosts[0].gone) + len(hosts[1].gone) == BUSY + IDLE


async def test_what_the_last_worker_cannot_finish_waits_for_the_next(
    settings: MakeSettings,
) -> None:
    before, after = Host(), Host()
    before.door.set()
    async with AsyncExitStack() as stack:
        async with in_process(settings(drain_seconds=0.3), before.gateway) as served:
            everybody = await ten_visitors(stack, served, [before])
        async with in_process(settings(), after.gateway):
            await eventually(
                lambda: {*before.gone, *after.gone} == set(everybody), "all goodbyes", 10
            )

    assert len(before.gone) + len(after.gone) == BUSY + IDLE


async def test_a_drain_that_finishes_leaves_no_fence(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    host = Host()
    host.door.set()
    host.gate.set()
    own = settings(drain_seconds=5.0)
    async with AsyncExitStack() as stack, in_process(own, host.gateway) as served:
        everybody = await ten_visitors(stack, served, [host])
        stopping = asyncio.create_task(stop(served))
        for client in everybody.values():
            await client.rest()
        await stopping

    assert set(host.gone) == set(everybody)
    assert not fenced_workers(redis_server, own)
    assert not listed_workers(redis_server, own)


# What it was just given


class Peers:
    """A worker that leaves, and one that stays with a client whose messages go to the first."""

    def __init__(
        self, leaver: InProcess, stayer: InProcess, client: RawClient, started: list[list[str]]
    ) -> None:
        self.leaver = leaver
        self.stayer = stayer
        self.client = client
        self._started = started

    def started(self) -> list[list[str]]:
        """What the leaver and the stayer have started, but for what introduced the client."""
        return [[text for text in texts if text != "hello"] for texts in self._started]


@asynccontextmanager
async def peers(leaves: Settings, stays: Settings, *, takes_s: float) -> AsyncIterator[Peers]:
    started: list[list[str]] = [[], []]

    def handling(place: int) -> Gateway:
        gateway = Gateway()

        @gateway.on_message
        async def handle(message: Message) -> str:
            started[place].append(message.text)
            await asyncio.sleep(takes_s)
            return message.text

        return gateway

    async with (
        in_process(stays, handling(1)) as stayer,
        in_process(leaves, handling(0)) as leaver,
        AsyncExitStack() as stack,
    ):
        both = (leaver, stayer)
        await eventually(lambda: all(len(s.worker.parts.members.known) == 2 for s in both), "both")
        client = None
        while not started[0]:
            client = await stack.enter_async_context(raw_websocket(stayer.port))
            client.say("hello")
            assert await client.texts(1) == ["hello"]
        assert client is not None
        yield Peers(leaver, stayer, client, started)


async def test_what_a_worker_was_given_before_it_said_that_it_leaves_is_finished(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    """Red when quiet from before counts: it leaves while the message is on its way, or at work."""
    own = settings(drain_seconds=LONG_S, trace=False)
    async with (
        Proxy(redis_server.port) as way,
        peers(own, replace(own, redis_url=Secret(way.url)), takes_s=0.4) as those,
    ):
        runner = those.leaver.worker.parts.runner
        await eventually(lambda: runner.quiet_for_s() >= 1, "quiet")
        way.delay_s = 0.1
        those.client.say("now")
        await eventually(lambda: those.stayer.worker.parts.dispatcher.unanswered, "the dispatch")
        await stop(those.leaver)

        assert await those.client.texts(1) == ["now"]
        assert those.started() == [["now"], []]


async def test_what_a_worker_is_given_as_its_lease_goes_is_run_by_another(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it still starts it, and breaks it off: the message is run twice."""
    own = settings(drain_seconds=0.2, trace=False)
    async with peers(own, own, takes_s=0.4) as those:
        worker = those.leaver.worker
        leave = worker.parts.registry.leave

        async def leave_late(me: WorkerId) -> None:
            those.client.say("late")
            await eventually(lambda: worker.parts.runner.busy(()), "the message")
            await leave(me)

        monkeypatch.setattr(worker.parts.registry, "leave", leave_late)
        monkeypatch.setattr(
            worker.parts.cluster.membership, "say", lambda _info: None
        )  # nobody hears it
        await stop(those.leaver)

        assert await those.client.texts(1) == ["late"]
        assert those.started() == [[], ["late"]]


# Handshakes


@pytest.mark.parametrize("admits", [True, False], ids=["late", "never"])
async def test_an_undecided_handshake_is_sent_elsewhere_at_once(
    settings: MakeSettings, admits: bool
) -> None:
    """Red when a drain waits for it: it took the whole window, and the socket opened then."""
    host = Host()
    async with (
        in_process(settings(drain_seconds=LONG_S), host.gateway) as served,
        raw_client(served.port) as client,
    ):
        client.send(request("/communicate?ann"))
        await eventually(lambda: host.asked, "the question")
        stopping = asyncio.create_task(stop(served))
        answer = await client.response()
        if admits:
            host.door.set()

        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert await stopping < AT_ONCE_S
    assert host.gone == (["ann"] if admits else [])


async def test_a_handshake_that_waits_for_a_handler_worker_is_sent_elsewhere(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings(role="edge", drain_seconds=LONG_S)) as served,
        raw_client(served.port) as client,
    ):
        client.send(request())
        await eventually(lambda: len(served.worker.parts.hub), "the handshake")
        stopping = asyncio.create_task(stop(served))

        assert (await client.response()).status == 503
        assert await stopping < AT_ONCE_S


async def test_a_request_that_never_ends_holds_up_no_drain(settings: MakeSettings) -> None:
    async with (
        in_process(settings(drain_seconds=LONG_S)) as served,
        raw_client(served.port) as client,
    ):
        client.send(request()[:30])
        await eventually(lambda: served.server_state.connections, "the connection")

        assert await stop(served) < AT_ONCE_S


async def test_a_socket_that_opens_during_a_drain_is_drained(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accepting may wait for the server: what opens then has its early message answered."""
    host = Host()
    host.door.set()
    accepting, going_on = asyncio.Event(), asyncio.Event()

    accept = WebSocket.accept

    async def slowly(websocket: WebSocket, *args: object, **options: object) -> None:
        accepting.set()
        await going_on.wait()
        await accept(websocket, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(WebSocket, "accept", slowly)
    async with (
        in_process(settings(drain_seconds=LONG_S), host.gateway) as served,
        raw_client(served.port) as client,
    ):
        client.send(request("/communicate?ann"))
        client.say("early")
        await asyncio.wait_for(accepting.wait(), 10)
        stopping = asyncio.create_task(stop(served))
        await eventually(lambda: not served.worker.ready, "the drain")
        going_on.set()
        assert (await client.response()).status == 101
        await eventually(lambda: host.started, "the message")
        host.gate.set()

        assert await client.texts(2) == ["early", "Bye!!!"]
        assert (await client.rest())[-1].closing == (3001, "drain")
        assert await stopping < AT_ONCE_S


def _left(server: RedisServer, prefix: str, worker: str) -> set[str]:
    with server.client() as admin:
        return {key for key in map(str, admin.scan_iter(f"{prefix}:*")) if worker in key}
