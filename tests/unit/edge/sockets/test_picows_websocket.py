"""Our protocol class over a transport in memory: however bytes are cut, the same comes out.

Real sockets are tried in ``tests/integration/test_socket_layers.py`` and ``tests/conformance``.
Here hypothesis cuts every frame at every byte, mixes connections, and holds readers back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.edge.sockets.picows_websocket import GatewayWebSocket
from gateway.edge.sockets.socket import EXTENSION
from tests.support.rawclient import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_frame,
    frame,
    request,
)

LIMIT = 300
Told = list[tuple[str, Any]]


class MemoryTransport(asyncio.Transport):
    """Keeps what is written, and holds back what comes in while reading is paused."""

    def __init__(self) -> None:
        super().__init__()
        self.written, self.reading = bytearray(), True
        self.ended = self.closing = False

    def write(self, data: Any) -> None:
        assert not self.ended, "written after the end"
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closing

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closing = self.ended = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


async def application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    listener = scope["extensions"][EXTENSION].peer
    scope["extensions"][EXTENSION].start(listener, farewell=(1000, "farewell"))


class OfPeer(GatewayWebSocket):
    """Knows whose it is, so that one server can have many."""

    peer: Peer


CONFIG = Config(application, ws_max_size=LIMIT, log_config=None)


class Peer:
    """One connection: its transport, and what its listener was told."""

    def __init__(
        self, state: ServerState, config: Config = CONFIG, *, pauses_every: int = 0
    ) -> None:
        self.transport = MemoryTransport()
        self.told: Told = []
        self._pauses_every = pauses_every
        self._arriving = b""
        self.protocol = OfPeer(config, state, {})
        self.protocol.peer = self
        self.protocol.connection_made(self.transport)

    async def shake_hands(self) -> None:
        self.protocol.data_received(request())
        await asyncio.sleep(0)
        assert self.transport.written.startswith(b"HTTP/1.1 101")

    def on_text(self, text: str) -> None:
        self._tell("text", text)

    def on_binary(self) -> None:
        self._tell("binary", None)

    def on_close(self, code: int, reason: str) -> None:
        self._tell("close", code)

    def _tell(self, what: str, value: Any) -> None:
        self.told.append((what, value))
        if self._pauses_every and len(self.told) % self._pauses_every == 0:
            self.protocol.pause_reading()
            asyncio.get_running_loop().call_soon(self.protocol.resume_reading)

    async def arrive(self, data: bytes) -> None:
        """Bytes of the peer's, read when the transport is."""
        self._arriving += data
        for _ in range(1000):
            if self.transport.ended or not self._arriving:
                break
            if self.transport.reading:
                data, self._arriving = self._arriving, b""
                self.protocol.data_received(data)
            else:
                await asyncio.sleep(0)
        assert self.transport.ended or not self._arriving, "stuck"

    async def settle(self) -> None:
        for _ in range(2000):
            if self.transport.reading or self.transport.ended:
                return
            await asyncio.sleep(0)
        pytest.fail("the transport stays paused")

    @property
    def frames(self) -> bytes:
        return bytes(self.transport.written).partition(b"\r\n\r\n")[2]


class Raising(Peer):
    """A listener that breaks its promise."""

    def on_text(self, text: str) -> None:
        raise RuntimeError(text)


def run(scenario: Callable[[], Any]) -> Any:
    with asyncio.Runner() as runner:
        return runner.run(scenario())


opcodes = st.sampled_from([CONTINUATION, TEXT, TEXT, BINARY, PING, PONG, CLOSE, 0x3, 0xB])
payloads = st.one_of(
    st.text(max_size=40).map(str.encode),
    st.binary(max_size=10),
    st.sampled_from([b"", b"x" * 125, b"x" * 126, b"x" * LIMIT, b"x" * (LIMIT + 1), b"\x03\xe8"]),
)
masked = st.builds(frame, opcodes, payloads, fin=st.booleans())
good = st.builds(frame, st.just(TEXT), st.text(max_size=40).map(str.encode))
streams = st.lists(st.one_of(good, good, masked, st.binary(max_size=6)), max_size=12)
cuts = st.lists(st.integers(1, 20), min_size=1, max_size=30)


def pieces(stream: bytes, sizes: list[int]) -> Iterator[bytes]:
    place = turn = 0
    while place < len(stream):
        size = sizes[turn % len(sizes)]
        yield stream[place : place + size]
        place, turn = place + size, turn + 1


async def told_in_one_go(stream: bytes) -> tuple[Told, bytes]:
    peer = Peer(ServerState())
    await peer.shake_hands()
    await peer.arrive(stream)
    return peer.told, peer.frames


@settings(max_examples=300, deadline=None)
@given(streams, cuts)
def test_however_a_stream_is_cut_the_same_is_told_and_answered(
    frames: list[bytes], sizes: list[int]
) -> None:
    stream = b"".join(frames)

    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        for piece in pieces(stream, sizes):
            await peer.arrive(piece)

        assert (peer.told, peer.frames) == await told_in_one_go(stream)

    run(scenario)


@settings(max_examples=150, deadline=None)
@given(streams, cuts, st.integers(1, 3))
def test_a_reader_that_pauses_is_told_the_same_in_the_same_order(
    frames: list[bytes], sizes: list[int], every: int
) -> None:
    stream = b"".join(frames)

    async def scenario() -> None:
        peer = Peer(ServerState(), pauses_every=every)
        await peer.shake_hands()
        for piece in pieces(stream, sizes):
            await peer.arrive(piece)
        await peer.settle()

        assert peer.told == (await told_in_one_go(stream))[0]

    run(scenario)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(streams, cuts), min_size=2, max_size=4))
def test_connections_that_share_parsers_get_their_own_messages(
    scripts: list[tuple[list[bytes], list[int]]],
) -> None:
    streams_ = [b"".join(frames) for frames, _ in scripts]

    async def scenario() -> None:
        state = ServerState()
        peers = [Peer(state) for _ in scripts]
        for peer in peers:
            await peer.shake_hands()
        turns = [
            pieces(stream, sizes) for stream, (_, sizes) in zip(streams_, scripts, strict=True)
        ]
        waiting = list(zip(peers, turns, strict=True))
        while waiting:
            for peer, turn in list(waiting):
                piece = next(turn, None)
                if piece is None:
                    waiting.remove((peer, turn))
                else:
                    await peer.arrive(piece)

        for peer, stream in zip(peers, streams_, strict=True):
            assert (peer.told, peer.frames) == await told_in_one_go(stream)

    run(scenario)


def test_every_frame_is_read_wherever_it_is_cut_in_two() -> None:
    """Red when a parser is given back with half a frame in it."""
    stream = b"".join(
        (
            frame(TEXT, b"short"),
            frame(TEXT, b"y" * 126),
            frame(TEXT, "hä".encode()[:2], fin=False),
            frame(PING, b"between"),
            frame(CONTINUATION, "ä".encode()[1:]),
            close_frame(4321, "enough"),
        )
    )

    async def scenario() -> None:
        expected = await told_in_one_go(stream)
        assert [what for what, _ in expected[0]] == ["text"] * 3 + ["close"]
        state = ServerState()
        for place in range(1, len(stream)):
            first, second = Peer(state), Peer(state)
            await first.shake_hands()
            await second.shake_hands()
            await first.arrive(stream[:place])
            await second.arrive(stream)
            await first.arrive(stream[place:])
            assert (first.told, first.frames) == (second.told, second.frames) == expected, place

    run(scenario)


def test_a_parser_is_kept_only_while_a_message_is_incomplete() -> None:
    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        kept = []
        for data in (frame(TEXT, b"x")[:3], frame(TEXT, b"x")[3:], frame(TEXT, b"", fin=False)):
            await peer.arrive(data)
            kept.append(peer.protocol._parser is not None)
        await peer.arrive(frame(CONTINUATION, b""))

        assert kept == [True, False, True]
        assert peer.protocol._parser is None

    run(scenario)


def test_what_is_read_while_paused_waits_for_the_resume() -> None:
    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        peer.protocol.pause_reading()
        peer.protocol.data_received(frame(TEXT, b"one") + frame(TEXT, b"two"))
        assert (peer.told, peer.transport.reading) == ([], False)
        peer.protocol.resume_reading()
        await asyncio.sleep(0)

        assert peer.told == [("text", "one"), ("text", "two")]
        assert peer.transport.reading

    run(scenario)


def test_a_pause_holds_back_little_more_than_was_parsed() -> None:
    """Red when all of one read becomes messages at once: a megabyte of them for 200 KB."""
    count = 2_000

    async def scenario() -> None:
        peer = Peer(ServerState(), pauses_every=1)
        await peer.shake_hands()
        peer.protocol.data_received(frame(TEXT, b"1234") * count)
        assert peer.protocol._held is not None
        assert len(peer.protocol._held) < count / 5
        for _ in range(3 * count):
            await asyncio.sleep(0)

        assert peer.told == [("text", "1234")] * count

    run(scenario)


def test_a_connection_that_failed_waits_for_its_peer_but_not_for_ever() -> None:
    """Red when it is closed at once: what the peer still sends would make a reset of it."""

    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        await peer.arrive(frame(TEXT, b"\xff") + frame(TEXT, b"more"))
        assert peer.told == [("close", 1007)]
        assert (peer.transport.ended, peer.transport.closing) == (True, False)
        peer.protocol.due(peer.protocol._slot)

        assert peer.transport.closing

    run(scenario)


def test_a_close_that_waits_behind_held_messages_ends_a_closing_connection() -> None:
    """Red when the server waits ten seconds for a close that it has read already."""

    async def scenario() -> None:
        peer = Peer(ServerState(), pauses_every=1)
        await peer.shake_hands()
        peer.protocol.data_received(
            frame(TEXT, b"1") + frame(TEXT, b"2") + close_frame(1000, "bye") + frame(TEXT, b"3")
        )
        assert peer.told == [("text", "1")]
        assert not peer.protocol.takes_writes
        peer.protocol.close(3001, "drain")

        assert peer.told == [("text", "1"), ("close", 1000)]
        assert peer.transport.closing
        assert not peer.protocol.takes_writes

    run(scenario)


def test_an_error_of_the_listener_closes_with_1011() -> None:
    async def scenario() -> None:
        peer = Raising(ServerState())
        await peer.shake_hands()
        await peer.arrive(frame(TEXT, b"x"))

        assert peer.told == [("close", 1011)]

    run(scenario)


def test_a_reader_that_is_paused_is_not_asked_for_pongs() -> None:
    """They would not be read, so their absence says nothing."""

    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        peer.protocol.due(peer.protocol._slot)
        assert peer.frames[:2] == b"\x89\x08"
        peer.protocol.pause_reading()
        peer.protocol.due(peer.protocol._slot)
        peer.protocol.resume_reading()
        await asyncio.sleep(0)
        peer.protocol.due(peer.protocol._slot)

        assert len(peer.frames) == 2 * 10
        assert not peer.told

    run(scenario)
