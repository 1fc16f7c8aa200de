"""Clients of the Centrifuge protocol come, stay and go, on real sockets."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from gateway import Admit, Call, Connection, Gateway, Refused
from gateway.edge.sessions.centrifuge import session as edge_session
from gateway.protocol.centrifuge.session import Session, Timing
from gateway.settings.version import __version__
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import PATH, centrifuge_client, centrifuge_socket
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import BINARY, PING, TEXT, frame, handshake, raw_websocket, text_frame
from tests.support.waiting import eventually, eventually_async

ANONYMOUS = {"allow_anonymous_connect_without_token": True}


def open_to_all(settings: MakeSettings) -> AbstractAsyncContextManager[InProcess]:
    return in_process(settings(**ANONYMOUS))


def with_timing(monkeypatch: pytest.MonkeyPatch, timing: Timing) -> list[Session]:
    """Returns the sessions, once there are some."""
    made: list[Session] = []

    def session(*args: Any, **named: Any) -> Session:
        made.append(Session(*args, **(named | {"timing": timing})))
        return made[-1]

    monkeypatch.setattr(edge_session, "Session", session)
    return made


def wants_pongs_within(seconds: float, session: Session) -> None:
    """From its next ping on."""
    heartbeat = session._heartbeat
    assert heartbeat is not None
    heartbeat._pong_s = seconds


async def test_a_client_is_told_its_connection_and_who_serves_it(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**ANONYMOUS)) as served,
        centrifuge_socket(served.port) as client,
    ):
        result = await client.connect(name="js")

        [local] = served.worker.parts.hub
        assert result == {"client": local.id, "version": __version__, "ping": 25, "pong": True}


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        ("centrifuge-json", "centrifuge-json"),
        ("centrifuge-protobuf, centrifuge-json", "centrifuge-json"),
        ("centrifuge-protobuf", None),
        ("gateway.trace.v1", None),
    ],
)
async def test_the_subprotocol_of_json_alone_is_taken(
    settings: MakeSettings, offered: str, taken: str | None
) -> None:
    async with in_process(settings()) as served:
        response = await handshake(served.port, PATH, Sec_WebSocket_Protocol=offered)

    assert response.status == 101
    assert response.headers.get("sec-websocket-protocol") == taken


@pytest.mark.parametrize("query", ["format=protobuf", "a=b&cf_protocol=protobuf"])
async def test_protobuf_is_refused_in_the_handshake(settings: MakeSettings, query: str) -> None:
    async with in_process(settings()) as served:
        response = await handshake(served.port, f"{PATH}?{query}")

    assert response.status == 400
    assert response.body == "only JSON is spoken here, not Protobuf\n"


async def test_without_an_upgrade_the_path_says_what_is_there(settings: MakeSettings) -> None:
    async with in_process(settings()) as served:
        response = await handshake(served.port, PATH, Upgrade="h2c", Connection="close")

    assert response.status == 426


# Who is let in


async def test_nobody_is_let_in_without_a_token_by_default(settings: MakeSettings) -> None:
    async with in_process(settings()) as served, centrifuge_socket(served.port) as client:
        client.say(client.command(connect={}))

        assert await client.closed() == (3501, "bad request")


async def test_a_token_that_nobody_can_verify_is_invalid(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**ANONYMOUS)) as served,
        centrifuge_socket(served.port) as client,
    ):
        client.say(client.command(connect={"token": "a.b.c"}))

        assert await client.closed() == (3500, "invalid token")


async def test_whom_on_connect_has_let_in_needs_no_token(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_connect
    async def let_in(connection: Connection) -> Admit:
        return Admit(user="anna")

    async def anna() -> list[str]:
        return [found.id for found in await gateway.connections(user="anna")]

    async with in_process(settings(), gateway) as served, centrifuge_client(served.port) as client:
        await eventually_async(anna, "its entry")

        assert await anna() == [client.id]


async def test_whom_on_connect_refuses_gets_its_code(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_connect
    async def refuse(connection: Connection) -> None:
        raise Refused(4400, "not you")

    async with in_process(settings(), gateway) as served, centrifuge_socket(served.port) as client:
        assert await client.closed() == (4400, "not you")


@pytest.mark.parametrize(("name", "version"), [("n" * 17, ""), ("", "v" * 65)])
async def test_a_long_name_or_version_is_refused(
    settings: MakeSettings, name: str, version: str
) -> None:
    async with (
        in_process(settings(**ANONYMOUS)) as served,
        centrifuge_socket(served.port) as client,
    ):
        reply = await client.ask(connect={"name": name, "version": version})

        assert reply["error"] == {"code": 107, "message": "bad request"}


async def test_names_and_versions_at_their_bounds_are_taken(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**ANONYMOUS)) as served,
        centrifuge_socket(served.port) as client,
    ):
        assert await client.connect(name="n" * 16, version="v" * 64)


# What is said


async def test_commands_of_one_frame_have_a_reply_each(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**ANONYMOUS)) as served,
        centrifuge_socket(served.port) as client,
    ):
        commands = [
            client.command(connect={}),
            client.command(subscribe={"channel": "news"}),
            client.command(rpc={"method": "m"}),
            client.command(unsubscribe={"channel": "news"}),
            client.command(foo={}),
        ]
        client.say(*commands)
        replies = [await client.reply_to(command) for command in commands]

        assert client.seen[0]["id"] == 1
        assert len(client.seen) == len(commands)
        assert [reply.get("error", {}).get("code") for reply in replies] == [
            None, 103, 108, None, 104,
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "close"),
    [
        (text_frame("hello"), (3501, "bad request")),
        (frame(TEXT, b""), (3501, "bad request")),
        (text_frame('{"id":1,"subscribe":{"channel":"a"}}'), (3501, "bad request")),
        (text_frame("{}"), (3501, "bad request")),
        (frame(BINARY, b"\x01\x02"), (3506, "inappropriate protocol")),
    ],
)
async def test_what_breaks_the_protocol_ends_the_connection(
    settings: MakeSettings, sent: bytes, close: tuple[int, str]
) -> None:
    async with (
        in_process(settings(**ANONYMOUS)) as served,
        centrifuge_socket(served.port) as client,
    ):
        client.raw.send(sent)

        assert await client.closed() == close


async def test_the_rate_of_messages_counts_commands(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**ANONYMOUS, messages_per_second=10)) as served,
        centrifuge_client(served.port) as client,
    ):
        client.say(*(client.command(rpc={"method": "m"}) for _ in range(11)))

        assert await client.closed() == (3013, "message rate exceeded")


# Time


async def test_who_does_not_connect_in_time_is_stale(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_timing(monkeypatch, Timing(stale_s=0.2))
    async with in_process(settings()) as served, centrifuge_socket(served.port) as client:
        assert await client.closed() == (3502, "stale")


async def test_clients_are_pinged_and_one_that_does_not_answer_is_closed(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = with_timing(monkeypatch, Timing(ping_s=1))
    async with (
        in_process(settings(**ANONYMOUS)) as served,
        centrifuge_client(served.port) as client,
    ):
        for _ in range(2):
            await client.ping()
            client.say({})
        [session] = sessions
        wants_pongs_within(0.1, session)
        await client.ping()

        assert await client.closed() == (3012, "no pong")
        assert all(message.get("id") or message == {} for message in client.seen)


async def test_the_socket_itself_does_not_ping(settings: MakeSettings) -> None:
    options: dict[str, Any] = {"ws_ping_interval": 0.2, "ws_ping_timeout": 0.2}
    async with (
        in_process(settings(**ANONYMOUS), **options) as served,
        centrifuge_client(served.port) as client,
    ):
        async with raw_websocket(served.port) as text:
            pinged = await text.receive()

        assert pinged.opcode == PING
        assert await client.ask(rpc={})  # a ping before it would be no JSON
        assert client.frames == 2


# The connection API


async def test_it_is_listed_told_and_closed_as_any_connection(settings: MakeSettings) -> None:
    gateway = Gateway()
    async with (
        in_process(settings(**ANONYMOUS), gateway) as served,
        centrifuge_client(served.port) as client,
    ):
        assert await gateway.send(client.id, '{"a":\n1}') == "written"
        assert await gateway.send(client.id, "plain {words}") == "written"
        assert (await client.push("message"))["message"] == {"data": {"a": 1}}
        assert (await client.push("message"))["message"] == {"data": "plain {words}"}

        parts = served.worker.parts
        await eventually(lambda: not parts.cluster.registration.behind, "its entry")
        [(listed, entry)] = [row async for row in parts.registry.entries(parts.me)]
        [local] = parts.hub
        told = local.particulars()
        assert (listed, entry.protocol) == (client.id, "centrifuge")
        assert told is not None
        assert (told.received, told.ping_unanswered_ms) == (1, None)

        assert await gateway.disconnect(client.id, 4000, "enough") == "written"
        assert await client.closed() == (4000, "enough")


async def test_before_it_is_connected_nothing_can_be_sent(settings: MakeSettings) -> None:
    gateway = Gateway()
    async with (
        in_process(settings(**ANONYMOUS), gateway) as served,
        centrifuge_socket(served.port) as client,
    ):
        await eventually(lambda: len(served.worker.parts.hub) == 1, "the socket")
        [local] = served.worker.parts.hub

        assert await gateway.send(local.id, "early") == "unreachable"
        assert await client.connect()
        assert [message for message in client.seen if "push" in message] == []


async def test_a_drain_closes_with_3001(settings: MakeSettings) -> None:
    async with open_to_all(settings) as served, centrifuge_client(served.port) as client:
        served.should_exit = True

        assert await client.closed() == (3001, "drain")


async def test_a_drain_that_takes_its_time_misses_no_pong(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read any more, pongs neither."""
    sessions = with_timing(monkeypatch, Timing(ping_s=1))
    gateway, go_on = Gateway(), asyncio.Event()

    @gateway.on_rpc("slow")
    async def slow(call: Call) -> str:
        await go_on.wait()
        return "done"

    async with (
        in_process(settings(**ANONYMOUS, drain_seconds=20), gateway) as served,
        centrifuge_client(served.port) as client,
    ):
        client.say(command := client.command(rpc={"method": "slow"}))
        served.should_exit = True
        await eventually(lambda: not served.worker.ready, "the drain")
        [session] = sessions
        wants_pongs_within(0.2, session)
        for _ in range(3):
            await client.ping()
            client.say({})
        go_on.set()

        assert (await client.reply_to(command))["rpc"] == {"data": "done"}
        assert await client.closed() == (3001, "drain")
