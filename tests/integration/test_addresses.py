"""Whose address a client has: what proxies say is believed only of those that are trusted."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from websockets.asyncio.client import connect, unix_connect

from gateway import Gateway, Message
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import in_process
from tests.support.rawclient import handshake, raw_websocket


def telling() -> Gateway:
    gateway = Gateway()

    @gateway.on_message
    async def tell(message: Message) -> str:
        return message.connection.address

    return gateway


@pytest.mark.parametrize(
    ("trusted", "forwarded", "address"),
    [
        ((), "203.0.113.7", "127.0.0.1"),
        (("192.0.2.1",), "203.0.113.7", "127.0.0.1"),
        (("127.0.0.1",), "203.0.113.7", "203.0.113.7"),
        (("127.0.0.0/8",), "203.0.113.7", "203.0.113.7"),
        (("127.0.0.1",), "6.6.6.6, 203.0.113.7", "203.0.113.7"),
        (("127.0.0.1", "198.51.100.0/24"), "203.0.113.7, 198.51.100.2", "203.0.113.7"),
        (("*",), "203.0.113.7", "203.0.113.7"),
        (("127.0.0.1",), "", "127.0.0.1"),
        (("127.0.0.1",), "<script>", "127.0.0.1"),
    ],
)
async def test_the_address_is_of_the_nearest_that_is_not_trusted(
    settings: MakeSettings, trusted: tuple[str, ...], forwarded: str, address: str
) -> None:
    async with (
        in_process(settings(trusted_proxies=trusted), telling()) as served,
        raw_websocket(served.port, X_Forwarded_For=forwarded) as client,
    ):
        client.say("who am I?")

        assert await client.texts(1) == [address]


async def test_the_bound_of_an_address_is_of_the_client_behind_the_proxy(
    settings: MakeSettings,
) -> None:
    own = settings(trusted_proxies=("127.0.0.1",), max_connections_per_address=1)
    async with (
        in_process(own) as served,
        raw_websocket(served.port, X_Forwarded_For="203.0.113.7"),
    ):
        assert (await handshake(served.port, X_Forwarded_For="203.0.113.7")).status == 429
        assert (await handshake(served.port, X_Forwarded_For="203.0.113.8")).status == 101


async def test_nobody_escapes_the_bound_by_claiming_another_address(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings(max_connections_per_address=1)) as served,
        raw_websocket(served.port, X_Forwarded_For="203.0.113.7"),
    ):
        assert (await handshake(served.port, X_Forwarded_For="203.0.113.8")).status == 429


async def test_an_ipv4_proxy_of_an_ipv6_listener_is_the_proxy_that_it_is(
    settings: MakeSettings,
) -> None:
    """Red while ``::ffff:127.0.0.1`` was compared with 127.0.0.1 as it stood: with ``--host ::``
    no IPv4 proxy was trusted, and all clients behind it had one address."""
    own = settings(trusted_proxies=("127.0.0.1",), max_connections_per_address=1)
    listener = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    async with (
        in_process(own, telling(), listener=listener) as served,
        raw_websocket(served.port, X_Forwarded_For="203.0.113.7") as client,
    ):
        client.say("who am I?")
        assert await client.texts(1) == ["203.0.113.7"]
        assert (await handshake(served.port, X_Forwarded_For="203.0.113.7")).status == 429
        assert (await handshake(served.port, X_Forwarded_For="203.0.113.8")).status == 101
        async with connect(served.ws_url, proxy=None) as bare:
            await bare.send("who am I?")
            assert await bare.recv() == "127.0.0.1"


@pytest.mark.parametrize(
    ("trusted", "addresses"),
    [(("unix:",), ["203.0.113.7", "203.0.113.8"]), ((), ["unix:", "unix:"])],
)
async def test_a_proxy_at_a_unix_socket_can_be_trusted(
    settings: MakeSettings, tmp_path: Path, trusted: tuple[str, ...], addresses: list[str]
) -> None:
    """Red while such a peer had the address ``\'\'``, which no setting could trust, and which was
    that of all clients."""
    own = settings(trusted_proxies=trusted, max_connections_per_address=1)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "listener"))
    told = []
    async with in_process(own, telling(), listener=listener):
        clients = [
            await unix_connect(
                str(tmp_path / "listener"),
                "ws://localhost/communicate",
                additional_headers={"X-Forwarded-For": forwarded},
            )
            for forwarded in ("203.0.113.7", "203.0.113.8")
        ]
        for client in clients:
            await client.send("who am I?")
            told.append(await client.recv())
        for client in clients:
            await client.close()

    assert told == addresses
