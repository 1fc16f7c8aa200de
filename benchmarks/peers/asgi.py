"""The peers in Python: an ASGI application under uvicorn, and a process that does its work.

``python -m benchmarks.peers.asgi [NAME]`` checks them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
from websockets.sync.client import connect

from benchmarks.peers import checking
from benchmarks.peers.installing import LOCK, PYTHON, Missing, install_python, missing_python
from benchmarks.peers.processes import port_of, started, wait_until

STOCK = ("websockets", "websockets-sansio", "wsproto")
FASTEST = "websockets-sansio"  # of the stock ones on this path; also what `auto` is
WORK = "peer-work"


@dataclass(frozen=True)
class AsgiPeer:
    """An ASGI application in one process, and what answers in another.

    Args:
        worker: What follows ``python`` to run the process that answers; none: the application does.
        subscribed: Channels of Redis that somebody listens to once all is ready.
    """

    name: str
    dialect: str
    expected_us: float
    application: str
    path: str
    packages: Sequence[str]
    worker: Sequence[str] = ()
    subscribed: Sequence[str] = ()
    ws: str = FASTEST

    @property
    def processes(self) -> int:
        return 2 if self.worker else 1

    def missing(self) -> str | None:
        return missing_python()

    def install(self) -> None:
        """What requirements-bench.lock names, from the registry of Python.

        Raises:
            Missing: The registry did not answer.
        """
        install_python()
        if lacking := self.missing():
            raise Missing(lacking)

    def versions(self) -> dict[str, str]:
        pinned = dict(
            line.split(" ", 1)[0].split("==")
            for line in LOCK.read_text().splitlines()
            if "==" in line
        )
        return {package: pinned[package] for package in (*self.packages, "uvicorn")}

    @contextmanager
    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> Iterator[tuple[list[str], list[int]]]:
        """Where clients connect, and root pids: the edge, and one that answers (if any does)."""
        assert workers == self.processes, "one holds the sockets, one answers"
        log, pids = directory / "python.log", []
        environment = {"PEER_REDIS_URL": redis_url}
        with ExitStack() as stack:
            broker = stack.enter_context(redis.Redis.from_url(redis_url))
            if self.worker:
                command = [str(PYTHON), *self.worker]
                process = stack.enter_context(started(command, log, environment=environment))
                pids.append(process.pid)
            command = [str(PYTHON), "-m", "benchmarks.peers.asgi_server", self.application, self.ws]
            process = stack.enter_context(started(command, log, environment=environment))
            pids.append(process.pid)
            url = f"ws://127.0.0.1:{port_of(process, log)}{self.path}"
            # python-socketio subscribes when its first visitor is there, and not before.
            stack.enter_context(connect(url, compression=None)).close()
            wait_until(
                lambda: all(there for _, there in broker.pubsub_numsub(*self.subscribed)),
                f"a subscription to {' and '.join(self.subscribed)}",
                process,
                log,
            )
            yield [url], pids


PYTHON_SOCKETIO = AsgiPeer(
    name="python-socketio",
    dialect="socketio",
    expected_us=2356.0,
    application="benchmarks.peers.python_socketio_edge:application",
    path="/socket.io/?EIO=4&transport=websocket",
    packages=("python-socketio", "python-engineio", "redis"),
    worker=("-m", "benchmarks.peers.python_socketio_worker"),
    subscribed=(WORK, "socketio"),
)
CHANNELS = AsgiPeer(
    name="channels",
    dialect="plain",
    expected_us=848.0,
    application="benchmarks.peers.channels_application:application",
    path="/",
    packages=("channels", "channels-redis", "django", "redis"),
    worker=("-m", "benchmarks.peers.channels_worker"),
    subscribed=(WORK,),
)


def stock(ws: str) -> AsgiPeer:
    """An echo on one of uvicorn's own WebSocket classes: the socket layer alone, no Redis."""
    expected = {"websockets": 63.0, "websockets-sansio": 31.0, "wsproto": 53.0}
    return AsgiPeer(
        name=f"uvicorn {ws}",
        dialect="plain",
        expected_us=expected[ws],
        application="benchmarks.peers.echo_application:application",
        path="/",
        packages=("wsproto",) if ws == "wsproto" else ("websockets",),
        ws=ws,
    )


if __name__ == "__main__":
    checking.main(PYTHON_SOCKETIO, CHANNELS, *(stock(ws) for ws in STOCK))
