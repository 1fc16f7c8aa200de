"""Connections that an application lets in for a time."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import msgspec
import pytest

from gateway import Admit, Connection, Gateway, Message
from gateway.edge import client_info
from gateway.edge.connection import EXPIRY_GRACE_S, ClientConnection
from gateway.protocol.ids import ConnectionId
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import RawClient, raw_websocket
from tests.support.waiting import eventually

HOUR_S = 3600.0
EXPIRED = (3005, "connection expired")
LATE_S = 1.0  # the promise
SLACK_S = 0.5  # of a machine that is busy with other things


class Ticket:
    """Admits ann until the Unix seconds in the query, without an end if it is empty."""

    def __init__(self) -> None:
        self.gateway = Gateway()
        self.gone: list[Connection] = []
        self.started: list[str] = []
        self.gate = asyncio.Event()
        self.gateway.on_connect(self._connect)
        self.gateway.on_message(self._message)
        self.gateway.on_disconnect(self._disconnect)

    async def _connect(self, connection: Connection) -> Admit:
        return Admit("ann", float(connection.query) if connection.query else None)

    async def _message(self, message: Message) -> str:
        self.started.append(message.text)
        if message.text == "wait":
            await self.gate.wait()
        return f"{message.connection.user} until {message.connection.expires_at}"

    async def _disconnect(self, connection: Connection) -> None:
        self.gone.append(connection)


class HostClock:
    """The clock by which edges see that a time is over, and its Unix time. It is set forward at the
    step a test is about: however late a busy machine comes to that step, it is not over before.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_s = 0.0
        monkeypatch.setattr(client_info, "time", self)

    def time(self) -> float:
        return time.time() + self.ahead_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> HostClock:
    return HostClock(monkeypatch)


def only(served: InProcess) -> ClientConnection:
    [connection] = served.worker.parts.hub
    assert isinstance(connection, ClientConnection)
    return connection


async def closing(client: RawClient) -> list[str]:
    """The texts before the close frame. It must be that of an expiry."""
    *texts, end = await client.rest()
    assert end.closing == EXPIRED
    return [frame.text for frame in texts]


async def test_a_connection_is_closed_when_its_time_has_come(
    settings: MakeSettings, clock: HostClock
) -> None:
    async with in_process(settings(), Ticket().gateway) as served:
        counted = Counted(served)
        until = time.time() + HOUR_S
        async with raw_websocket(served.port, f"/communicate?{until}") as client:
            client.say("hello")
            assert await client.texts(1) == [f"ann until {until}"]
            clock.ahead_s = HOUR_S
            over = time.monotonic()
            texts = await closing(client)

        assert time.monotonic() - over <= LATE_S + SLACK_S
        assert texts == ["Bye!!!"]
        assert counted("gateway_connections_closed_total", code="3005") == 1


async def test_before_its_time_a_connection_is_like_any_other(settings: MakeSettings) -> None:
    until = time.time() + HOUR_S
    async with (
        in_process(settings(), Ticket().gateway) as served,
        raw_websocket(served.port, f"/communicate?{until}") as client,
    ):
        client.say("hello")

        assert await client.texts(1) == [f"ann until {until}"]


async def test_a_worker_that_did_not_decide_knows_the_end(settings: MakeSettings) -> None:
    """Red while edges do not introduce connections with their end."""
    until = time.time() + HOUR_S
    tickets = Ticket(), Ticket()
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(in_process(settings(role="edge")))
        async with in_process(settings(role="handler"), tickets[0].gateway) as first:
            await eventually(lambda: edge.worker.parts.members.handlers == (first.worker.me,), "it")
            client = await stack.enter_async_context(
                raw_websocket(edge.port, f"/communicate?{until}")
            )
        await stack.enter_async_context(in_process(settings(role="handler"), tickets[1].gateway))
        client.say("hello")

        assert await client.texts(1) == [f"ann until {until}"]
        assert tickets[1].started == ["hello"]


async def test_on_disconnect_is_told_of_a_connection_that_expired(
    settings: MakeSettings, clock: HostClock
) -> None:
    ticket = Ticket()
    until = time.time() + HOUR_S
    async with in_process(settings(), ticket.gateway) as served:
        async with raw_websocket(served.port, f"/communicate?{until}") as client:
            await eventually(lambda: len(served.worker.parts.hub), "the connection")
            clock.ahead_s = HOUR_S
            await closing(client)
        await eventually(lambda: ticket.gone, "on_disconnect")

        assert [(c.user, c.expires_at) for c in ticket.gone] == [("ann", until)]


async def test_what_was_read_before_the_end_is_answered(
    settings: MakeSettings, clock: HostClock
) -> None:
    ticket = Ticket()
    until = time.time() + HOUR_S
    async with (
        in_process(settings(), ticket.gateway) as served,
        raw_websocket(served.port, f"/communicate?{until}") as client,
    ):
        client.say("wait")
        await eventually(lambda: ticket.started, "the handler")
        clock.ahead_s = HOUR_S
        connection = only(served)
        await eventually(lambda: not connection.reading, "the end")
        client.say("too late")
        ticket.gate.set()
        texts = await closing(client)

        assert texts == [f"ann until {until}", "Bye!!!"]
        assert ticket.started == ["wait"]


async def test_no_answer_keeps_a_connection_open_for_long(
    settings: MakeSettings, clock: HostClock
) -> None:
    ticket = Ticket()
    until = time.time() + HOUR_S
    async with (
        in_process(settings(), ticket.gateway) as served,
        raw_websocket(served.port, f"/communicate?{until}") as client,
    ):
        client.say("wait")
        await eventually(lambda: ticket.started, "the handler")
        clock.ahead_s = HOUR_S
        connection = only(served)
        await eventually(lambda: not connection.reading, "the end")
        assert not connection.ended.done()
        clock.ahead_s = HOUR_S + EXPIRY_GRACE_S
        over = time.monotonic()
        texts = await closing(client)

        assert time.monotonic() - over <= LATE_S + SLACK_S
        assert texts == ["Bye!!!"]


async def test_who_comes_too_late_is_accepted_and_closed_with_the_reason(
    settings: MakeSettings,
) -> None:
    ticket = Ticket()
    async with in_process(settings(), ticket.gateway) as served:
        async with raw_websocket(served.port, f"/communicate?{time.time() - 1}") as client:
            client.say("hello")
            frames = await client.rest()
        await eventually(lambda: ticket.gone, "on_disconnect")

        assert [frame.closing for frame in frames] == [EXPIRED]
        assert not ticket.started


async def test_a_handler_of_an_older_release_admits_without_an_end(
    settings: MakeSettings, clock: HostClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not send the field, and knows nothing of the one it is sent."""

    class Admitted(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=8):
        connection: ConnectionId
        number: int
        attempt: int
        user: str | None

    monkeypatch.setattr("gateway.handlers.invocation.Admitted", lambda *f: Admitted(*f[:4]))
    async with (
        in_process(settings(role="handler"), Ticket().gateway) as handler,
        in_process(settings(role="edge")) as edge,
    ):
        await eventually(lambda: edge.worker.parts.members.handlers == (handler.worker.me,), "it")
        until = time.time() + HOUR_S
        async with raw_websocket(edge.port, f"/communicate?{until}") as client:
            clock.ahead_s = 2 * HOUR_S
            connection = only(edge)
            connection.check_progress(edge.worker.parts.now())
            client.say("hello")
            [text] = await client.texts(1)

        assert text.startswith("ann until")
