"""What the socket layer alone costs: CPU time of the server, measured apart from the clients'.

    python -m benchmarks.socket_layer echo        CPU us for each echoed message
    python -m benchmarks.socket_layer handshake   CPU us for each handshake and close
    python -m benchmarks.socket_layer idle        resident bytes of each idle connection

Each server runs in a process of its own, rounds are interleaved (A B A B), and every answer is
compared with what was sent. Compare the ratios within one run, not figures of different runs.

Servers: ``picows`` (its own server, the limit for Python), ``extension`` (our class, messages by
callback), ``asgi`` (our class, plain ASGI), uvicorn's ``websockets-sansio`` and ``wsproto`` with
the same ASGI application, and ``gateway`` (the whole gateway, one worker, broker in memory).
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psutil
import uvicorn
import uvloop
from picows import (
    WSCloseCode,
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
    ws_create_server,
)

from gateway.app import create_app, echo_gateway
from gateway.edge.sockets.socket import EXTENSION, Socket
from gateway.process.server import uvicorn_options
from gateway.settings.config import Settings

KINDS: Final = ("picows", "extension", "asgi", "websockets-sansio", "wsproto", "gateway")
SETTLE_S: Final = 12.0  # deadlines of handshakes are kept for ten seconds
ADDRESSES: Final = 8  # 127.0.0.x: one address has 28,000 ports


# Servers


class PicowsEcho(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect()
        else:
            transport.send(WSMsgType.TEXT, frame.get_payload_as_bytes())


class SocketEcho:
    """The listener of one connection, and its application in a dozen lines."""

    def __init__(self, taken: Socket) -> None:
        self._write = taken.write

    def on_text(self, text: str) -> None:
        self._write((text.encode(),))

    def on_binary(self) -> None: ...

    def on_close(self, code: int, reason: str) -> None: ...


async def callback_application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    taken = scope["extensions"][EXTENSION]
    taken.start(SocketEcho(taken), farewell=(1000, "Bye!!!"))


async def asgi_application(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})


def uvicorn_config(kind: str) -> uvicorn.Config:
    ours = "gateway.edge.sockets.picows_websocket:GatewayWebSocket"
    options: dict[str, Any] = {"log_level": "error", "lifespan": "off", "access_log": False}
    if kind == "gateway":
        settings = Settings(trace=False, max_connections=15_000)
        gateway = echo_gateway()
        gateway.settings = settings
        options |= uvicorn_options(settings) | {"lifespan": "on"}
        return uvicorn.Config(create_app(gateway, settings), **options)
    application = callback_application if kind == "extension" else asgi_application
    ws = ours if kind in ("extension", "asgi") else kind
    return uvicorn.Config(application, ws=ws, ws_per_message_deflate=False, **options)


async def serve(kind: str) -> None:
    """Serve until the process is ended. Prints the port."""
    if kind == "picows":
        server = await ws_create_server(
            lambda _request: PicowsEcho(),
            "0.0.0.0",
            0,
            backlog=4096,
        )
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()
        return
    config = uvicorn_config(kind)
    listener = open_port()
    print(listener.getsockname()[1], flush=True)
    await uvicorn.Server(config).serve(sockets=[listener])


def open_port() -> Any:
    return socket.create_server(("0.0.0.0", 0), backlog=4096)


@contextmanager
def served(kind: str) -> Iterator[tuple[psutil.Process, int]]:
    """A server of this kind: its process and its port."""
    command = [sys.executable, "-m", "benchmarks.socket_layer", "serve", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield psutil.Process(process.pid), int(process.stdout.readline())
        finally:
            process.kill()


# Clients


class Client(WSListener):
    """Sends a text, waits for its answer, sends the next."""

    def __init__(self, prefix: str, size: int) -> None:
        self._prefix = prefix
        self._text = "x" * size
        self._left = 0
        self._sent = ""
        self.done = asyncio.Event()
        self.wrong = 0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            if frame.get_payload_as_utf8_text() != self._prefix + self._sent:
                self.wrong += 1
            self._next()

    def say(self, count: int) -> None:
        self.done.clear()
        self._left = count
        self._next()

    def _next(self) -> None:
        if not self._left:
            self.done.set()
            return
        self._left -= 1
        self._sent = f"{self._left:08}{self._text[8:]}"
        self.transport.send(WSMsgType.TEXT, self._sent)


async def connect(kind: str, port: int, number: int, size: int = 64) -> Client:
    path, prefix = ("/communicate", "Received:") if kind == "gateway" else ("/", "")
    address = f"127.0.0.{1 + number % ADDRESSES}"
    _, client = await ws_connect(
        lambda: Client(prefix, size), f"ws://{address}:{port}{path}", enable_auto_pong=True
    )
    return client  # type: ignore[return-value]  # what the factory made


async def connect_all(kind: str, port: int, count: int) -> list[Client]:
    """One after the other, a few at a time: no queue of the kernel's overflows."""
    clients: list[Client] = []
    while len(clients) < count:
        some = range(len(clients), min(len(clients) + 50, count))
        clients += await asyncio.gather(*(connect(kind, port, number) for number in some))
    return clients


async def ready(kind: str, port: int) -> None:
    """The gateway refuses until its worker is ready."""
    for _ in range(200):
        try:
            (await connect(kind, port, 0)).transport.disconnect()
        except Exception:  # a refusal, or nobody listens yet
            await asyncio.sleep(0.05)
        else:
            return
    raise TimeoutError(kind)


def cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def echo_round(
    kind: str, process: psutil.Process, clients: list[Client], count: int
) -> float:
    before, answered = cpu_s(process), count * len(clients)
    for client in clients:
        client.say(count)
    await asyncio.gather(*(client.done.wait() for client in clients))
    assert not sum(client.wrong for client in clients), f"{kind} gave a wrong answer"
    return (cpu_s(process) - before) / answered * 1e6


async def handshake_round(kind: str, process: psutil.Process, port: int, count: int) -> float:
    before = cpu_s(process)
    for client in await connect_all(kind, port, count):
        client.transport.send_close(WSCloseCode.OK)
    await asyncio.sleep(0.5)
    return (cpu_s(process) - before) / count * 1e6


async def idle(kind: str, process: psutil.Process, port: int, count: int) -> float:
    before = process.memory_info().rss
    clients = await connect_all(kind, port, count)
    await asyncio.sleep(SETTLE_S)
    each = (process.memory_info().rss - before) / len(clients)
    await echo_round(kind, process, [clients[0], clients[-1]], 1)  # they are all served still
    return float(each)


async def measure(case: str, kinds: list[str], options: argparse.Namespace) -> None:
    figures: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(1 if case == "idle" else options.rounds):
        for kind in kinds:
            with served(kind) as (process, port):
                await ready(kind, port)
                if case == "idle":
                    figure = await idle(kind, process, port, options.connections)
                elif case == "handshake":
                    await handshake_round(kind, process, port, 200)
                    figure = await handshake_round(kind, process, port, 2000)
                else:
                    clients = await connect_all(kind, port, options.connections)
                    await echo_round(kind, process, clients, 50)
                    figure = await echo_round(kind, process, clients, options.messages)
                figures[kind].append(figure)
    base = statistics.median(figures[kinds[0]])
    for kind, rounds in figures.items():
        median = statistics.median(rounds)
        spread = f"{min(rounds):.1f}-{max(rounds):.1f}"
        print(f"{case:10} {kind:18} {median:10.1f}  x{median / base:5.2f}  ({spread})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("case", choices=["echo", "handshake", "idle", "serve"])
    parser.add_argument("kinds", nargs="*", help=f"of {', '.join(KINDS)}; the first is the base")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=None)
    parser.add_argument("--messages", type=int, default=500, help="for each connection and round")
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.case == "serve":
        uvloop.run(serve(options.kinds[0]))
        return
    if options.connections is None:
        options.connections = 10_000 if options.case == "idle" else 100
    uvloop.run(measure(options.case, options.kinds or list(KINDS), options))


if __name__ == "__main__":
    main()
