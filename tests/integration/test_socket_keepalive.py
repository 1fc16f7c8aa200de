"""Native pings, and what happens to clients that do not answer; ours in both ways."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from gateway.edge.sockets.server_context import context_of
from tests.integration.test_socket_layers import Layer, make_layer, serving
from tests.support.rawclient import PING, PONG, TEXT, Frame, frame, raw_websocket
from tests.support.waiting import eventually

OURS: Sequence[str] = ("extension", "asgi")
PINGS: dict[str, Any] = {"ws_ping_interval": 0.05, "ws_ping_timeout": 0.2}


@pytest.fixture(params=OURS)
async def layer(request: pytest.FixtureRequest) -> AsyncIterator[Layer]:
    async with serving(make_layer(request.param), **PINGS) as served:
        yield served


@pytest.mark.parametrize("name", OURS)
async def test_a_client_that_answers_pings_stays(name: str) -> None:
    layer = make_layer(name)
    patient = PINGS | {"ws_ping_timeout": 20.0}
    async with serving(layer, **patient), raw_websocket(layer.port) as client:
        pings = []
        for _ in range(4):
            ping = await client.receive()
            pings.append(ping)
            client.send(frame(PONG, ping.payload))
        client.say("still here")

        assert all(ping.opcode == PING for ping in pings)
        assert len({ping.payload for ping in pings}) == 4
        while (got := await client.receive()).opcode == PING:
            client.send(frame(PONG, got.payload))
        assert got == Frame(TEXT, b"still here")


async def test_a_client_that_does_not_answer_is_closed_with_a_code_of_its_own(layer: Layer) -> None:
    """Not 1011: that is a fault of ours, and whoever looks for it looks at handlers."""
    async with raw_websocket(layer.port) as client:
        ping, last = await client.rest()

    assert ping.opcode == PING
    assert last.closing == (3012, "no pong")
    assert layer.ends == [3012]


async def test_the_pong_of_an_earlier_ping_does_not_count(layer: Layer) -> None:
    """Red when any pong will do: a client could answer before it is asked."""
    async with raw_websocket(layer.port) as client:
        client.send(frame(PONG, b"unasked"))
        ping = await client.receive()
        client.send(frame(PONG, b"stale"), frame(PONG, ping.payload[:-1]))

        assert [last.closing[0] for last in await client.rest()] == [3012]


async def test_without_an_interval_there_are_no_pings() -> None:
    layer = make_layer("extension")
    async with (
        serving(layer, ws_ping_interval=None, ws_ping_timeout=None),
        raw_websocket(layer.port) as client,
    ):
        client.say("hello")

        assert await client.texts(1) == ["hello"]


async def test_a_connection_that_has_ended_leaves_no_deadline() -> None:
    layer = make_layer("extension")
    async with serving(layer):
        async with raw_websocket(layer.port) as client:
            client.say("hello")
            await client.texts(1)
            assert layer.server is not None
            context = context_of(layer.server.server_state, layer.server.config)
            assert len(context.timers) == 1
        await eventually(lambda: not len(context.timers), "the end")


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """For localhost; its key lies beside it."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate


@pytest.mark.parametrize("name", OURS)
async def test_it_speaks_tls(name: str, certificate: Path) -> None:
    layer = make_layer(name)
    key = certificate.with_name("key.pem")
    trust = ssl.create_default_context(cafile=certificate)
    options = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key), "ws_max_size": 1 << 20}
    async with serving(layer, **options):
        async with connect(
            f"wss://localhost:{layer.port}/", ssl=trust, compression=None, proxy=None
        ) as client:
            for text in ("hello", "x" * 500_000):
                await client.send(text)
                assert await client.recv() == text
        await eventually(lambda: layer.ends == [1000], "the end")

    assert layer.scopes[0]["scheme"] == "wss"
