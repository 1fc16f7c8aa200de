"""The cases of channels: publications to many, and many that subscribe, recover, or do nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from benchmarks.gateway_peer import GatewayPeer
from benchmarks.peer import Peer
from benchmarks.peers.nchan import Nchan
from benchmarks.peers.socket_io import SocketIo
from benchmarks.runs import Case, Load, Run

SUBSCRIBERS: Final = (1, 10, 100, 1000)
MANNERS: Final = {"one at a time": 1, "bursts": 200}  # to publications that are under way at once
KEPT: Final = "kept:bench"

CENTRIFUGE: Final = GatewayPeer(
    split=False, fanout=True, dialect="centrifuge", path="/connection/websocket", expected_us=None
)
POSTED: Final = replace(CENTRIFUGE, name="gateway, over HTTP", dialect="centrifuge-posted")
TEXT: Final = GatewayPeer(
    name="gateway, text", split=False, fanout=True, dialect="gateway-text", expected_us=None,
    application="benchmarks.fanout_application:gateway",
)  # fmt: skip
NCHAN: Final = Nchan(dialect="nchan", expected_us=None, path="/sub/{channel}")
SOCKET_IO: Final = SocketIo(dialect="socketio-room", expected_us=None, roles=("room", "room"))


def manner_label(peer: Peer, manner: str) -> str:
    return f"{peer.name}, {manner}"


def fanout(subscribers: int) -> Case:
    runs = [
        Run(manner_label(peer, manner), peer, Load("fanout", subscribers, at_once=at_once))
        for manner, at_once in MANNERS.items()
        for peer in (CENTRIFUGE, TEXT, NCHAN, SOCKET_IO)
    ]
    title = f"Fan-out to {subscribers:,} subscribers on two workers"
    return Case(f"fanout-{subscribers}", title, runs)


def posted() -> Case:
    runs = [
        Run(manner_label(peer, manner), peer, Load("fanout", 100, at_once=at_once))
        for manner, at_once in MANNERS.items()
        for peer in (CENTRIFUGE, POSTED, NCHAN)
    ]
    return Case("fanout-http", "Fan-out to 100 subscribers, published over HTTP", runs)


def history_label(manner: str, *, kept: bool) -> str:
    return f"{manner}, {'with' if kept else 'without'} history"


def history() -> Case:
    runs = [
        Run(
            history_label(manner, kept=kept),
            CENTRIFUGE,
            Load("fanout", 100, at_once=at_once, channel=KEPT if kept else "bench"),
        )
        for manner, at_once in MANNERS.items()
        for kept in (False, True)
    ]
    return Case("fanout-history", "Fan-out to 100 subscribers, with history and without", runs)


def channel_cases(idle: int) -> Sequence[Case]:
    """Args: idle: Connections of the case that measures memory."""
    alone = GatewayPeer(
        name="gateway, 1 worker", split=False, channels=True, dialect="centrifuge",
        path="/connection/websocket", expected_us=None,
    )  # fmt: skip
    return [
        *map(fanout, SUBSCRIBERS),
        posted(),
        history(),
        Case("subscribe-10000", "10,000 clients subscribe to one channel",
             [Run("gateway", CENTRIFUGE, Load("subscribe", 10_000, at_once=256)),
              Run("gateway, with history", CENTRIFUGE,
                  Load("subscribe", 10_000, at_once=256, channel=KEPT))]),
        Case("recovery-1000", "1,000 clients recover at once: their worker was killed",
             [Run("gateway", CENTRIFUGE, Load("recovery", 1000, channel=KEPT))]),
        Case("idle-centrifuge", f"Memory of an idle subscriber of 3 channels, of {idle:,}",
             [Run("gateway, 1 worker", alone, Load("idle-channels", idle, at_once=3))], once=True),
    ]  # fmt: skip
