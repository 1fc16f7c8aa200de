"""A primary with replicas, and three real Sentinels that watch over them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import redis

from tests.support.children import mortal
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer, redis_binary
from tests.support.waiting import blocking_eventually

NAME = "main"
DOWN_AFTER_S = 1.0
FOLLOWS_AT_ONCE = ("--repl-diskless-sync-delay", "0", "--repl-timeout", "5")


class Sentinel:
    """One Sentinel on a free port of loopback. A context manager."""

    def __init__(self, folder: Path, primary_port: int, *, config: str = "") -> None:
        self.port = free_port()
        self._folder = folder
        folder.mkdir(parents=True)
        (folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {folder}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {primary_port} 2\n"
            f"sentinel down-after-milliseconds {NAME} {int(DOWN_AFTER_S * 1000)}\n"
            f"sentinel failover-timeout {NAME} 4000\n{config}"
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        command = [redis_binary(), str(self._folder / "sentinel.conf"), "--sentinel"]
        with (self._folder / "sentinel.log").open("ab") as log:
            self._process = subprocess.Popen(mortal(command), stdout=log, stderr=log)
        blocking_eventually(self._answers, "an answer of the Sentinel", 10.0)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, socket_timeout=5)

    def _answers(self) -> bool:
        with suppress(redis.ConnectionError, redis.TimeoutError), self.client() as client:
            with suppress(redis.AuthenticationError):
                client.ping()
            return True
        return False


class SentinelGroup:
    """One primary, ``replicas``, three Sentinels that all know each other."""

    def __init__(self, folder: Path, *, replicas: int = 1) -> None:
        self._folder = folder
        self._count = replicas
        self._stack = ExitStack()
        self.nodes: list[RedisServer] = []
        self.sentinels: list[Sentinel] = []

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}"

    @contextmanager
    def nodes_started(self) -> Iterator[None]:
        """The first will be the primary; ``watch`` makes them a group. All end with this."""
        with self._stack:
            for number in range(1 + self._count):
                folder = self._folder / f"node{number}"
                folder.mkdir(parents=True)
                server = RedisServer(folder, *FOLLOWS_AT_ONCE)
                self.nodes.append(server)
                self._stack.enter_context(server)
            yield

    def watch(self, primary_port: int | None = None) -> None:
        """Have the others follow it, and Sentinels watch over it.

        Args:
            primary_port: Where they find it, when that is not where it listens.
        """
        port = primary_port or self.nodes[0].port
        for node in self.nodes[1:]:
            with node.client() as admin:
                admin.execute_command("REPLICAOF", "127.0.0.1", str(port))
        for number in range(3):
            sentinel = Sentinel(self._folder / f"sentinel{number}", port)
            self.sentinels.append(sentinel)
            sentinel.start()
            self._stack.callback(sentinel.kill)
        blocking_eventually(self.well, "Sentinels that know each other and the replicas", 20.0)

    def well(self) -> bool:
        """Whether each Sentinel knows the others, and replicas that are in step."""
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                state = client.sentinel_master(NAME)
                if state["num-other-sentinels"] != 2 or state["num-slaves"] != self._count:
                    return False
                if state["is_sdown"] or state["is_odown"]:
                    return False
        return all(self._in_step(node) for node in self.nodes[1:])

    def primary(self) -> RedisServer | None:
        """The node that most Sentinels name now."""
        named: list[int] = []
        for sentinel in self.sentinels:
            with suppress(redis.RedisError), sentinel.client() as client:
                named.append(int(client.sentinel_get_master_addr_by_name(NAME)[1]))
        port = max(named, key=named.count)
        return next((node for node in self.nodes if node.port == port), None)

    def _in_step(self, node: RedisServer) -> bool:
        with node.client() as admin:
            facts = admin.info("replication")
            return facts["role"] == "master" or facts["master_link_status"] == "up"
