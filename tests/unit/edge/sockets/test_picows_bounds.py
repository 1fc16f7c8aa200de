"""What one peer, or a listener, can do to the rest, over a transport in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.edge.sockets.frame_parser import KEPT_BYTES
from gateway.edge.sockets.server_context import context_of
from gateway.edge.sockets.timer_wheel import NOWHERE
from tests.support.rawclient import CONTINUATION, PING, PONG, TEXT, frame
from tests.unit.edge.sockets.test_picows_websocket import CONFIG, Peer, application, run

LONG = 1 << 16
NO_PINGS = Config(application, ws_ping_interval=None, log_config=None)
LONG_MESSAGES = Config(application, ws_max_size=1 << 20, log_config=None)


class RaisingLater(Peer):
    """Breaks its promise with its second message, one that was held back."""

    def on_text(self, text: str) -> None:
        if self.told:
            raise RuntimeError(text)
        super().on_text(text)


async def open_peer(state: ServerState, config: Config = CONFIG, **options: Any) -> Peer:
    peer = Peer(state, config, **options)
    await peer.shake_hands()
    return peer


async def send_in_pieces(peer: Peer, length: int) -> None:
    long = frame(TEXT, b"x" * length)
    for place in range(0, len(long), 3000):
        await peer.arrive(long[place : place + 3000])
    assert len(peer.told) == 1


def test_a_parser_that_a_long_message_has_grown_is_let_go() -> None:
    """Red when only what comes in one piece counts: sixteen buffers of two megabytes were kept."""

    async def scenario() -> None:
        state = ServerState()
        await send_in_pieces(await open_peer(state, LONG_MESSAGES), 1 << 20)

        free = context_of(state, LONG_MESSAGES).parsers.free
        assert all(len(parser._get_buffer(-1)) <= KEPT_BYTES for parser in free)

    run(scenario)


def test_a_pause_holds_back_little_after_a_long_message_too() -> None:
    """Red when the buffer that the long one has left behind is filled and parsed at once."""

    async def scenario() -> None:
        state = ServerState()
        await send_in_pieces(await open_peer(state, LONG_MESSAGES), LONG)
        peer = await open_peer(state, LONG_MESSAGES, pauses_every=1)
        count = LONG // 10
        peer.protocol.data_received(frame(TEXT, b"1234") * count)

        assert peer.protocol._held is not None
        assert len(peer.protocol._held) <= count / 4

    run(scenario)


def test_pings_of_a_peer_that_does_not_read_get_one_answer() -> None:
    """Red when each is answered: the answers to a flood fill the memory of the worker."""

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        peer.protocol.pause_writing()
        for number in range(1000):
            await peer.arrive(frame(PING, b"%d" % number))
        assert peer.frames == b""
        peer.protocol.resume_writing()

        assert peer.frames == b"\x8a\x03999"

    run(scenario)


def test_what_follows_a_violation_is_not_kept() -> None:
    """Red when it is kept for as long as the peer is waited for."""

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        peer.protocol.data_received(frame(CONTINUATION, b"") + frame(TEXT, b"1234") * LONG)

        assert peer.told == [("close", 1002)]
        assert not peer.protocol._unread

    run(scenario)


def test_a_deadline_that_was_put_off_does_nothing() -> None:
    """Red when it ends a connection: another's deadline in the same tick has just closed it."""

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        slot = peer.protocol._slot
        peer.protocol.close(3001, "drain")
        peer.protocol.due(slot)

        assert not peer.transport.closing

    run(scenario)


def test_what_the_protocol_says_by_itself_counts_as_written() -> None:
    """Red when only messages do: the peer that reads pongs slowly seems to take nothing."""

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        peer.protocol.write([b"text"])
        await peer.arrive(frame(PING, b"ping"))

        assert peer.protocol.written_bytes == len(peer.transport.written)

    run(scenario)


def test_an_error_of_the_listener_closes_with_1011_after_a_pause_too() -> None:
    """Red when it is the event loop's: the connection would not be read any more, for ever."""

    async def scenario() -> None:
        peer = RaisingLater(ServerState(), pauses_every=1)
        await peer.shake_hands()
        peer.protocol.data_received(frame(TEXT, b"x") * 3)
        for _ in range(5):
            await asyncio.sleep(0)

        assert peer.told == [("text", "x"), ("close", 1011)]

    run(scenario)


def test_a_peer_that_has_ended_its_side_does_not_keep_the_connection() -> None:
    """Red when it is left to the transport, which waits for such a peer to read."""

    async def scenario() -> None:
        peer = await open_peer(ServerState(), NO_PINGS)
        peer.protocol.eof_received()
        assert peer.told == [("close", 1006)]

        assert peer.protocol._slot != NOWHERE

    run(scenario)


def test_a_pong_does_not_put_off_the_end_of_a_close() -> None:
    """Red when a peer that never answers the close stays for an interval of pings more."""

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        peer.protocol.due(peer.protocol._slot)
        peer.protocol.close(3001, "drain")
        slot = peer.protocol._slot
        await peer.arrive(frame(PONG, peer.frames[2:10]))

        assert peer.protocol._slot == slot

    run(scenario)


def test_what_follows_a_violation_is_not_worth_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Red when fragments are added to what is invalid: that fails, as an error of ours."""
    fragments = [frame(TEXT, b"\xf4", fin=False), frame(CONTINUATION, b"\x90\x80", fin=False)]

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        await peer.arrive(b"".join([*fragments, frame(CONTINUATION, b"\x80\x80\x80")]))
        assert peer.told == [("close", 1007)]

    run(scenario)

    assert caplog.text == ""
