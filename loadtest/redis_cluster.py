"""A Redis Cluster of our own for the gateway that is started: masters on loopback, no replicas."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import psutil
import redis

from loadtest.arguments import Refused

START_S: Final = 30.0
ANSWER_S: Final = 10.0
SLOTS: Final = 16384
AT_ONCE: Final = 100  # keys of a slot, moved by one command
BINARIES: Final = ("redis-server", "valkey-server")


class RedisCluster:
    """Some masters with the slots parted evenly. They end with us, also when we are killed.

    Attributes:
        ports: Of the masters.
        moved: How many slots have been given to another master.
    """

    def __init__(self, masters: int) -> None:
        server = next(filter(None, map(shutil.which, BINARIES)), None)
        if server is None:
            raise Refused("a Cluster of our own needs redis-server: apt-get install redis-server")
        self._folder = Path(tempfile.mkdtemp(prefix="loadtest-cluster"))
        self._servers: list[subprocess.Popen[bytes]] = []
        self.moved = 0
        try:
            ports = _free_ports(2 * masters)
            self.ports, self._buses = ports[:masters], ports[masters:]
            for port, bus in zip(self.ports, self._buses, strict=True):
                self._servers.append(self._start(server, port, bus))
            self._clients = [_client(port) for port in self.ports]
            self._form()
            self._ids = [client.execute_command("CLUSTER", "MYID") for client in self._clients]
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    @property
    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(server.pid) for server in self._servers if server.poll() is None]

    def move_on(self) -> int:
        """Move every slot that is in use to the next master, as ``redis-cli --cluster`` moves one.

        In use is what has keys, or channels that somebody has subscribed. Returns how many moved.

        Raises:
            Refused: A master does not do its part.
        """
        used = [self._used(client) for client in self._clients]
        try:
            for number, slots in enumerate(used):
                for slot in slots:
                    self._move(slot, number, (number + 1) % len(self.ports))
        except redis.RedisError as error:
            raise Refused(f"a slot could not be moved: {error}") from None
        moved = sum(map(len, used))
        self.moved += moved
        return moved

    def close(self) -> None:
        """End all of it."""
        for server in self._servers:
            server.kill()
            server.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _used(self, client: Any) -> list[int]:
        words = client.execute_command("PUBSUB", "SHARDCHANNELS")
        words += client.execute_command("KEYS", "*")  # it is ours, and small
        with client.pipeline(transaction=False) as asked:
            for word in words:
                asked.execute_command("CLUSTER", "KEYSLOT", word)
            return sorted(set(asked.execute()))

    def _move(self, slot: int, source: int, target: int) -> None:
        here, there = self._clients[source], self._clients[target]
        there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", self._ids[source])
        here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", self._ids[target])
        while keys := here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, AT_ONCE):
            where = ("127.0.0.1", self.ports[target], "", 0, int(ANSWER_S * 1000))
            here.execute_command("MIGRATE", *where, "KEYS", *keys)
        for client in (there, here, *self._clients):  # it is known where it is before it is gone
            client.execute_command("CLUSTER", "SETSLOT", slot, "NODE", self._ids[target])

    def _start(self, server: str, port: int, bus: int) -> subprocess.Popen[bytes]:
        folder = self._folder / str(port)
        folder.mkdir()
        command = [
            server, "--port", str(port), "--cluster-port", str(bus), "--bind", "127.0.0.1",
            "--dir", str(folder), "--save", "", "--appendonly", "no", "--loglevel", "warning",
            "--cluster-enabled", "yes", "--cluster-require-full-coverage", "no",
            "--cluster-node-timeout", "5000",
        ]  # fmt: skip
        if setpriv := shutil.which("setpriv"):
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with (folder / "log").open("wb") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def _form(self) -> None:
        _until(lambda: all(map(_listens, self.ports)), "servers of the Cluster")
        share = SLOTS // len(self.ports)
        for number, client in enumerate(self._clients):
            last = SLOTS if number == len(self.ports) - 1 else (number + 1) * share
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * share, last - 1)
            client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for port, bus in zip(self.ports[:number], self._buses, strict=False):
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        _until(lambda: all(map(self._agrees, self._clients)), "a Cluster whose nodes agree")

    def _agrees(self, client: Any) -> bool:
        info = client.execute_command("CLUSTER", "INFO").split()
        known = f"cluster_known_nodes:{len(self.ports)}".encode()
        return {b"cluster_state:ok", known} <= {*info}


def _client(port: int) -> Any:
    client: Any = redis.Redis(port=port, socket_timeout=ANSWER_S)
    client.response_callbacks.clear()  # replies as they come
    return client


def _free_ports(count: int) -> Sequence[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _until(check: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + START_S
    while not check():
        if time.monotonic() > end:
            raise Refused(f"{what} did not come about within {START_S:g} s")
        time.sleep(0.05)
