"""Clients that stop reading, never finish a handshake or flood: nobody else notices."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack, suppress

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.faults.conftest import PUSHES, Report
from tests.support.crowd import Crowd
from tests.support.stand import Stand
from tests.support.waiting import eventually

CLIENTS = 200
APP = "tests.support.apps.badday:gateway"


async def test_a_client_that_stops_reading_is_dropped(stand: Stand, report: Report) -> None:
    """Red without ``ClientConnection.check_progress``: it stays for ever, with its memory."""
    served = await stand.serve(APP)
    worker = stand.worker_of(served)
    async with Crowd([served.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        before = worker.memory_info().rss
        loop = asyncio.get_running_loop()
        with deaf_client(served.port) as deaf:
            for _ in range(20):
                await loop.sock_sendall(deaf, masked_text(b"huge 500000"))
            sent_at = loop.time()
            await eventually(
                lambda: served.metric("gateway_connections_closed_total", code="3008") == 1,
                "the abort",
                within_s=12,
            )
            took_s = loop.time() - sent_at
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert ledger.slowest_s < 2
        assert took_s <= 11.5
        assert worker.memory_info().rss - before < 20 << 20


@pytest.mark.usefixtures("many_files")
async def test_ten_thousand_handshakes_that_never_finish(stand: Stand, report: Report) -> None:
    """Red with uvicorn's own HTTP protocol: they stay for ever, and take every descriptor."""
    served = await stand.serve(environment={"GATEWAY_HANDSHAKE_SECONDS": "3"})
    worker = stand.worker_of(served)
    async with Crowd([served.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        with ExitStack() as stack:
            for _ in range(10_000 // 250):
                for _ in range(250):
                    stack.enter_context(unfinished_handshake(served.port))
                await asyncio.sleep(0)
            await eventually(
                lambda: worker.num_fds() < 1000, "the end of the unfinished", within_s=15
            )
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes


async def test_a_flood_over_the_message_rate_is_closed_with_3013(
    stand: Stand, report: Report
) -> None:
    """Red without the check of the rate in ``ClientConnection``: all of it is handled."""
    served = await stand.serve(environment={"GATEWAY_MESSAGES_PER_SECOND": "40"})
    async with (
        Crowd([served.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd,
        connect(served.ws_url) as flood,
    ):
        crowd.start_sending()
        with suppress(ConnectionClosed):
            for _ in range(100_000):
                await flood.send("more")
        await flood.wait_closed()
        await crowd.send_for(2)
        ledger = await crowd.stop_sending()

        report(ledger)
        assert flood.close_code == 3013
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes


def deaf_client(port: int) -> socket.socket:
    """A client with a finished handshake that will never read again."""
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        b"GET /communicate HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert b" 101 " in client.recv(4096)
    client.setblocking(False)
    return client


def unfinished_handshake(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /communicate HTTP/1.1\r\nHost: localhost\r\nUpgr")
    return client


def masked_text(payload: bytes) -> bytes:
    """One masked text frame with a mask of zeros, up to 125 bytes long."""
    return bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload
