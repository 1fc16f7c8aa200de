"""A descriptor that others write to is taken back in time."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from uvicorn.server import ServerState

from tests.support.rawclient import PING, TEXT, close_frame, frame
from tests.unit.edge.sockets.test_picows_websocket import Peer, run

DESCRIPTOR = 7


def limits_of(peer: Peer, *, tls: object = None) -> list[int | None]:
    """Where its transport writes down what it is to take without a word of it."""
    limits: list[int | None] = []
    socket = SimpleNamespace(fileno=lambda: DESCRIPTOR)
    transport: Any = peer.transport
    transport.get_extra_info = {"socket": socket, "sslcontext": tls}.get

    def set_limits(high: int | None = None) -> None:
        limits.append(high)

    transport.set_write_buffer_limits = set_limits
    return limits


@pytest.mark.parametrize(
    "obstacle",
    [
        lambda peer: peer.protocol.pause_writing(),
        lambda peer: peer.protocol.pause_reading(),
        lambda peer: peer.protocol.close(3001, "drain"),
        lambda peer: peer.protocol.abort(),
        lambda peer: peer.protocol.shutdown(),
        lambda peer: peer.protocol.eof_received(),
        lambda peer: peer.protocol.connection_lost(None),
        lambda peer: peer.protocol.data_received(close_frame(1000, "bye")),
        lambda peer: peer.protocol.data_received(b"\x00\x00"),
        lambda peer: peer.protocol.data_received(frame(PING, b"p" * 100) * 3000),
    ],
    ids=[
        "bytes wait", "not read", "our close", "abort", "shutdown", "end of file", "lost",
        "the peer's close", "violation", "behind",
    ],
)  # fmt: skip
def test_a_descriptor_that_is_lent_is_taken_back_before_it_may_not_be_written_to(
    obstacle: Callable[[Peer], None],
) -> None:
    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        backs: list[int] = []
        limits = limits_of(peer)
        assert peer.protocol.lend(lambda: backs.append(1)) == DESCRIPTOR
        assert limits == [0]  # otherwise it says nothing of what waits
        peer.protocol.data_received(frame(TEXT, b"a text"))
        assert not backs
        obstacle(peer)

        assert backs == [1]

    run(scenario)


def test_below_tls_no_descriptor_is_lent() -> None:
    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        limits_of(peer, tls=object())

        assert peer.protocol.lend(lambda: None) is None

    run(scenario)


def test_once_bytes_wait_the_transport_may_keep_some_again() -> None:
    """Or the pongs of a client that reads slowly would wait until all is gone, perhaps never."""

    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        limits = limits_of(peer)
        peer.protocol.lend(lambda: None)
        peer.protocol.pause_writing()

        assert limits == [0, None]  # its own

    run(scenario)
