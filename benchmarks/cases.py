"""What is measured: every case and its runs. All runs of a case are interleaved in each round."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.channel_cases import channel_cases
from benchmarks.floods import FLOODERS, FLOODS, flood_label
from benchmarks.gateway_peer import GatewayPeer, LayerPeer
from benchmarks.master_cases import master_cases
from benchmarks.peer import Peer
from benchmarks.peers.asgi import CHANNELS, PYTHON_SOCKETIO, STOCK, stock
from benchmarks.peers.nchan import Nchan
from benchmarks.peers.socket_io import SocketIo
from benchmarks.runs import Case, Load, Run

SIZES_BYTES = {"64": 64, "1k": 1 << 10, "16k": 16 << 10, "64k": (64 << 10) - 64}
STEADY_PER_S = 1000.0
STORM_PER_S = 2000.0
FLOODED_PER_S = 20  # messages of one connection: four times what each sends


def _of(peers: Sequence[Peer], load: Load) -> list[Run]:
    return [Run(peer.name, peer, load) for peer in peers]


def routed(connections: int) -> Case:
    peers = (GatewayPeer(), Nchan(), SocketIo(), CHANNELS, PYTHON_SOCKETIO)
    title = f"Routed echo, {connections} connections"
    return Case(f"routed-{connections}", title, _of(peers, Load(connections=connections)))


def sized(name: str) -> Case:
    load = Load(connections=50, size_bytes=SIZES_BYTES[name])
    title = f"Routed echo, {load.size_bytes:,} bytes, 50 connections"
    return Case(f"size-{name}", title, _of((GatewayPeer(), Nchan()), load))


def workers() -> list[Case]:
    both = [
        GatewayPeer(
            name=f"gateway, {count} worker{'s' * (count > 1)}", split=False, processes=count
        )
        for count in (1, 2)
    ]
    split = [
        GatewayPeer(name=f"gateway, {count} + {count} workers", processes=count) for count in (1, 2)
    ]
    return [
        Case("workers", "One worker and two, both roles, 200 connections", _of(both, Load())),
        Case("routed-2x2", "Routed echo, two edges and two handler workers, 200 connections",
             _of(split, Load())),
    ]  # fmt: skip


def push() -> Case:
    application = "benchmarks.push_application:gateway"
    holder = GatewayPeer(
        name="asked: the worker with the socket", split=False, application=application
    )
    other = GatewayPeer(
        name="asked: another worker", split=False, application=application, asked=True
    )
    load = Load("push", connections=100, at_once=32)
    return Case("push", "POST /@connections/{id}, 100 connections", _of((holder, other), load))


def disturbed() -> Case:
    steady = Load(per_s=STEADY_PER_S)
    storm = Load("connect", per_s=STORM_PER_S, at_once=256, disturbs=True)
    runs = [
        Run("undisturbed", GatewayPeer(), steady),
        Run("beside a slow reader", GatewayPeer(), steady, Load("slow", disturbs=True)),
        Run("beside a connect storm", GatewayPeer(), steady, storm),
    ]
    title = f"Steady traffic, {STEADY_PER_S:,.0f} messages/s of 200 connections"
    return Case("disturbed", title, runs)


def flooded() -> Case:
    steady = Load(per_s=STEADY_PER_S)
    peer = GatewayPeer(messages_per_second=FLOODED_PER_S)
    runs = [Run("undisturbed", peer, steady)]
    for flooders in (1, FLOODERS):
        for flood in FLOODS:
            disturbance = Load("flood", connections=flooders, flood=flood, disturbs=True)
            runs.append(Run(flood_label(flooders, flood), peer, steady, disturbance))
    title = (
        f"Beside clients that flood, {STEADY_PER_S:,.0f} messages/s of 200 connections, "
        f"GATEWAY_MESSAGES_PER_SECOND={FLOODED_PER_S}"
    )
    return Case("flooded", title, runs)


def all_cases(idle: int = 10_000) -> list[Case]:
    """Args: idle: How many connections the case of that name has."""
    layers = [LayerPeer(name) for name in (
        "gateway's socket layer", "gateway's socket layer, plain ASGI", "picows", "send(2)",
        "gateway, one worker, no Redis",
    )]  # fmt: skip
    stocks = [stock(ws) for ws in STOCK]
    alone = GatewayPeer(name="gateway, 1 worker", split=False)
    sansio = stock("websockets-sansio")
    return [
        routed(2),
        routed(200),
        routed(1000),
        *workers(),
        push(),
        *channel_cases(idle),
        *master_cases(),
        Case("connect", "Open and close, 16 clients at a time",
             _of((alone, *layers[:3], sansio), Load("connect"))),
        Case("echo", "The socket layer alone: echo, 100 connections",
             _of((*layers, *stocks), Load(connections=100))),
        *(sized(name) for name in SIZES_BYTES),
        disturbed(),
        flooded(),
        Case("idle", f"Memory of an idle connection, of {idle:,}",
             _of((alone, layers[0], layers[2], *stocks[:2]), Load("idle", connections=idle)),
             once=True),
    ]  # fmt: skip
