"""Frames that are no messages, and more of anything than a turn of the loop has room for."""

from __future__ import annotations

import asyncio

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from gateway.edge.sockets.frame_reading import FRAMES_PER_SECOND
from gateway.edge.sockets.keepalive import PONGS_PER_TURN
from tests.support.rawclient import CONTINUATION, PING, PONG, TEXT, frame
from tests.support.waiting import eventually
from tests.unit.edge.sockets.test_picows_bounds import open_peer
from tests.unit.edge.sockets.test_picows_websocket import OfPeer, Peer, application, run

MANY = 20_000
NO_PINGS = Config(application, ws_ping_interval=None, log_config=None)
FLOODS = {
    "fragments": (frame(TEXT, b"", fin=False), frame(CONTINUATION, b"", fin=False)),
    "pings": (b"", frame(PING, b"")),
    "pongs": (b"", frame(PONG, b"")),
}


@pytest.fixture(params=FLOODS)
def flood(request: pytest.FixtureRequest) -> tuple[bytes, bytes]:
    return FLOODS[request.param]


@pytest.fixture
def unbounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OfPeer, "frames_per_second", None)


def test_more_frames_than_the_rate_close_with_3013(flood: tuple[bytes, bytes]) -> None:
    """Red when only messages have a rate: one client takes a worker for itself."""
    first, more = flood

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        peer.protocol.data_received(first + more * (FRAMES_PER_SECOND // 2))
        await eventually(lambda: not peer.protocol._behind, "the first half")
        assert not peer.told
        peer.protocol.data_received(more * MANY)
        await eventually(lambda: bool(peer.told), "the end")
        assert peer.told == [("close", 3013)]
        assert peer.frames.endswith(b"frame rate exceeded")

    run(scenario)


def test_exactly_the_rate_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 100.0
    monkeypatch.setattr("gateway.edge.sockets.frame_reading.time.monotonic", lambda: now_s)

    async def scenario() -> None:
        nonlocal now_s
        protocol = (await open_peer(ServerState())).protocol
        assert all(protocol.takes_frame() for _ in range(FRAMES_PER_SECOND))
        now_s += 10 / FRAMES_PER_SECOND
        assert [protocol.takes_frame() for _ in range(11)] == [True] * 10 + [False]

    run(scenario)


def test_what_was_read_is_parsed_over_several_turns(
    flood: tuple[bytes, bytes], unbounded: None
) -> None:
    """Red when it is parsed in one go: 256 KB of empty frames take 100 ms of everybody's time."""
    first, more = flood

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        peer.protocol.data_received(first + more * MANY)
        assert peer.protocol._unread
        assert not peer.transport.reading
        await eventually(lambda: peer.transport.reading, "the rest")
        assert not peer.protocol._unread
        if first:
            peer.protocol.data_received(frame(CONTINUATION, b"end"))
            assert peer.told == [("text", "end")]
        assert peer.transport.reading

    run(scenario)


def test_all_who_are_behind_share_one_turn(unbounded: None) -> None:
    """Red when each has a turn of its own: a dozen flooders would make every turn as long."""

    async def scenario() -> None:
        state = ServerState()
        peers = [await open_peer(state) for _ in range(6)]
        for peer in peers:
            peer.protocol.data_received(frame(PONG, b"") * MANY)
        while any(peer.protocol._unread for peer in peers):
            before = [len(peer.protocol._unread) for peer in peers]
            await asyncio.sleep(0)
            after = [len(peer.protocol._unread) for peer in peers]
            assert sum(a != b for a, b in zip(before, after, strict=True)) <= 1

    run(scenario)


def test_who_sends_on_after_our_close_is_not_parsed_for_long(unbounded: None) -> None:
    """Red when it is until the end of its ten seconds: a rate of messages would be no bound."""

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        peer.protocol.close(3013, "message rate exceeded")
        peer.protocol.data_received(frame(TEXT, b"x") * MANY)
        await eventually(lambda: peer.transport.ended, "the end")

        assert peer.told == [("close", 3013)]
        assert not peer.protocol._unread
        assert not peer.transport.closing  # it may still read our close

    run(scenario)


def test_a_connection_that_lingers_is_read_slowly() -> None:
    """Red when it is read as fast as it sends: dropping it is work as well."""

    async def scenario() -> None:
        peer = await open_peer(ServerState())
        await peer.arrive(frame(TEXT, b"\xff"))
        assert peer.transport.reading
        peer.protocol.data_received(b"x" * 1000)
        assert not peer.transport.reading
        await eventually(lambda: peer.transport.reading, "the next read")

    run(scenario)


def test_of_many_pings_in_one_turn_the_first_and_the_last_are_answered() -> None:
    """Red when each is (RFC 6455 section 5.5.3 wants the latest): a write for six bytes."""
    count = FRAMES_PER_SECOND // 2

    async def scenario() -> None:
        peer = await open_peer(ServerState(), NO_PINGS)
        await peer.arrive(b"".join(frame(PING, b"%04d" % number) for number in range(count)))
        await eventually(lambda: peer.frames.endswith(b"%04d" % (count - 1)), "the last pong")

        said = [peer.frames[place : place + 6] for place in range(0, len(peer.frames), 6)]
        assert said[:PONGS_PER_TURN] == [b"\x8a\x04%04d" % n for n in range(PONGS_PER_TURN)]
        assert len(said) < count / 2

    run(scenario)


def test_messages_in_one_frame_are_not_among_the_frames_that_count() -> None:
    async def scenario() -> None:
        peer = Peer(ServerState())
        await peer.shake_hands()
        await peer.arrive(frame(TEXT, b"x") * (3 * FRAMES_PER_SECOND))
        await eventually(lambda: len(peer.told) == 3 * FRAMES_PER_SECOND, "all of them")

        assert {what for what, _ in peer.told} == {"text"}

    run(scenario)
