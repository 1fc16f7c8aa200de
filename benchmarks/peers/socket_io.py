"""Socket.IO with its Redis adapter. ``python -m benchmarks.peers.socket_io`` checks it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from benchmarks.peers import checking
from benchmarks.peers.installing import INSTALLED, Missing, current, install_once, run
from benchmarks.peers.processes import port_of, started, wait_until

SOURCE = Path(__file__).with_name("socket_io")
FOLDER = INSTALLED / "socket_io"
REQUESTS = "socket.io-request#/#"  # the adapter's channel from server to server
PATH = "/socket.io/?EIO=4&transport=websocket"


@dataclass(frozen=True)
class SocketIo:
    """Two servers: one holds the sockets and the other answers; or both have a room's sockets."""

    name: str = "socket.io"
    dialect: str = "socketio"
    expected_us: float | None = 107.0
    processes: int = 2
    roles: tuple[str, str] = ("worker", "edge")

    def missing(self) -> str | None:
        for program in ("node", "npm"):
            if not shutil.which(program):
                return f"{program} is not installed (Debian: apt-get install nodejs npm)"
        if not current(SOURCE / "package.json", FOLDER):
            return "the packages of socket_io/package.json are not installed"
        return None

    def install(self) -> None:
        """What package.json names, from the registry of npm.

        Raises:
            Missing: No node or npm, or the registry did not answer.
        """

        def fill() -> None:
            shutil.copy(SOURCE / "package.json", FOLDER)
            run(
                ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"],
                FOLDER,
            )

        install_once(SOURCE / "package.json", FOLDER, fill)
        if lacking := self.missing():
            raise Missing(lacking)

    def versions(self) -> dict[str, str]:
        wanted: dict[str, str] = json.loads((SOURCE / "package.json").read_text())["dependencies"]
        return {"node": run(["node", "--version"]).strip(), **wanted}

    @contextmanager
    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> Iterator[tuple[list[str], list[int]]]:
        """Where clients connect, and the servers' pids."""
        assert workers == 2, "serverSideEmit reaches all others: a third would answer too"
        # Node looks for packages beside the program.
        shutil.copy(SOURCE / "server.js", FOLDER)
        log = directory / "node.log"
        with ExitStack() as stack:
            broker = stack.enter_context(redis.Redis.from_url(redis_url))
            ports, pids = [], []
            for role in self.roles:
                command = ["node", "server.js", role, redis_url]
                process = stack.enter_context(started(command, log, folder=FOLDER))
                ports.append(port_of(process, log))
                pids.append(process.pid)
            wait_until(
                lambda: broker.pubsub_numsub(REQUESTS)[0][1] == len(pids),
                "the adapters' subscriptions",
                process,
                log,
            )
            holders = [
                port for port, role in zip(ports, self.roles, strict=True) if role != "worker"
            ]
            yield [f"ws://127.0.0.1:{port}{PATH}" for port in holders], pids


if __name__ == "__main__":
    checking.main(SocketIo())
