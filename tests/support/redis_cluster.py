"""A real Cluster on loopback: masters and their replicas, formed by commands alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from gateway.redis_support.slots import SLOTS, slot_of
from tests.support.ports import free_port
from tests.support.redis_server import RedisServer
from tests.support.waiting import blocking_eventually

NODE_TIMEOUT_MS = 1000


class ClusterNode(RedisServer):
    """One node. Its id stays the same when it is killed and started again."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        super().__init__(
            folder,
            "--cluster-enabled", "yes",
            "--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0",
            "--repl-ping-replica-period", "1",  # a replica counts once it was pinged
            "--cluster-allow-replica-migration", "no",
            *arguments,
        )  # fmt: skip
        self._arguments_besides_ports = self._arguments
        self.choose_ports()

    def choose_ports(self) -> None:
        super().choose_ports()
        self.bus, self.tls_port = free_port(), free_port()
        ports = ["--cluster-port", str(self.bus)]
        if "--tls-cluster" in self._arguments_besides_ports:
            ports += ["--tls-port", str(self.tls_port)]
        self._arguments = (*self._arguments_besides_ports, *ports)

    @property
    def met_at(self) -> int:
        """The port that other nodes are told."""
        return self.tls_port if "--tls-port" in self._arguments else self.port

    def ask(self, *words: str | bytes | int) -> Any:
        """The reply to one command, as it comes. One that is frozen is waited for once, for 5 s."""
        again = Retry(ConstantBackoff(0.1), 10, supported_errors=(redis.ConnectionError,))
        with redis.Redis(port=self.port, socket_timeout=5, retry=again) as client:
            client.response_callbacks.clear()
            return client.execute_command(*words)

    @property
    def id(self) -> str:
        return str(self.ask("CLUSTER", "MYID").decode())

    @property
    def info(self) -> str:
        return str(self.ask("CLUSTER", "INFO").decode())

    @property
    def is_master(self) -> bool:
        return b"role:master" in self.ask("INFO", "replication")

    def owns(self, slot: int) -> bool:
        for first, last, master, *_ in self.ask("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return int(master[1]) == self.port
        return False


class RedisCluster:
    """Some masters with the slots parted evenly, and a replica of each. A context manager.

    Attributes:
        nodes: The masters of the beginning first, then their replicas, in the same order.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        masters: int = 3,
        replicas: int = 1,
        node_timeout_ms: int = NODE_TIMEOUT_MS,
    ) -> None:
        self.folder = folder
        self._masters = masters
        self._arguments = (*arguments, "--cluster-node-timeout", str(node_timeout_ms))
        self.nodes = [self._node(number) for number in range(masters * (1 + replicas))]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{n.port}" for n in self.nodes[:3])

    def master_of(self, key: str | int) -> ClusterNode:
        """Who has this slot, or the slot of this key, now: it says so itself."""
        slot = key if isinstance(key, int) else slot_of(key)
        for node in self.nodes:
            with suppress(redis.RedisError, OSError):
                if node.is_master and node.owns(slot):
                    return node
        raise LookupError(slot)

    def replica_of(self, master: ClusterNode) -> ClusterNode:
        """The one that was given to this master at the beginning."""
        return self.nodes[self.nodes.index(master) + self._masters]

    def move(self, slot: int, to: ClusterNode) -> None:
        """As ``redis-cli --cluster reshard`` does it, of one slot."""
        source = self.master_of(slot)
        if source is to:
            return
        self.begin_move(slot, to)
        self.end_move(slot, to)

    def begin_move(self, slot: int, to: ClusterNode) -> None:
        """Mark a slot as moving, and leave its keys where they are."""
        source = self.master_of(slot)
        here, there = source.id, to.id
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", here)
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", there)

    def move_keys(self, slot: int, to: ClusterNode, *names: str | bytes) -> None:
        """Of a slot that is moving, some keys."""
        source = self.master_of(slot)
        source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *names)

    def end_move(self, slot: int, to: ClusterNode) -> None:
        """Move the rest, and hand the slot over."""
        source, there = self.master_of(slot), to.id
        while found := source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            self.move_keys(slot, to, *found)
        to.ask("CLUSTER", "SETSLOT", slot, "NODE", there)
        source.ask("CLUSTER", "SETSLOT", slot, "NODE", there)
        for node in self.nodes:
            if node not in (source, to):
                with suppress(redis.RedisError, OSError):  # a replica: it hears of it
                    node.ask("CLUSTER", "SETSLOT", slot, "NODE", there)

    def add(self) -> ClusterNode:
        """Another master, without slots yet."""
        node = self._node(len(self.nodes))
        node.start()
        self.nodes.append(node)
        node.ask("CLUSTER", "MEET", "127.0.0.1", self.nodes[0].met_at, self.nodes[0].bus)
        self.until_agreed()
        return node

    def remove(self, node: ClusterNode) -> None:
        """Forget a node that has no slots, and end it."""
        gone = node.id
        self.nodes.remove(node)
        for other in self.nodes:
            with suppress(redis.RedisError, OSError):
                other.ask("CLUSTER", "FORGET", gone)
        node.kill()

    def until_agreed(self) -> None:
        """Wait until every node that answers knows all nodes, and of each slot who serves it.

        It is well before it knows those of another one, where it may serve without full coverage;
        and never hears of them if that one is frozen then.
        """
        alive = [node for node in self.nodes if node.running]

        def agreed() -> bool:
            told = [node.info for node in alive]
            known = (
                "cluster_state:ok\r",
                f"cluster_known_nodes:{len(self.nodes)}\r",
                f"cluster_slots_assigned:{SLOTS}\r",
            )
            return all(fact in one for one in told for fact in known)

        blocking_eventually(agreed, "a Cluster whose nodes agree", 20.0)

    def _node(self, number: int) -> ClusterNode:
        folder = self.folder / f"node{number}"
        folder.mkdir()
        return ClusterNode(folder, *self._arguments)

    def _form(self) -> None:
        masters, replicas = self.nodes[: self._masters], self.nodes[self._masters :]
        share = SLOTS // len(masters)
        for number, master in enumerate(masters):
            last = SLOTS if number == len(masters) - 1 else (number + 1) * share
            master.ask("CLUSTER", "ADDSLOTSRANGE", number * share, last - 1)
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in self.nodes[:number]:  # all of them: gossip would take seconds
                node.ask("CLUSTER", "MEET", "127.0.0.1", other.met_at, other.bus)
        self.until_agreed()
        for number, replica in enumerate(replicas):
            replica.ask("CLUSTER", "REPLICATE", masters[number % len(masters)].id)
        blocking_eventually(
            lambda: all(b"master_link_status:up" in r.ask("INFO", "replication") for r in replicas),
            "replicas that follow", 20.0,
        )  # fmt: skip
        # Failover is by vote: everybody has to have heard whose replica who is.
        blocking_eventually(
            lambda: all(
                sum(len(one) - 3 for one in node.ask("CLUSTER", "SLOTS")) == len(replicas)
                for node in self.nodes
            ),
            "replicas that everybody knows", 20.0,
        )  # fmt: skip

    def __enter__(self) -> RedisCluster:
        try:
            for node in self.nodes:
                node.start()
            self._form()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in self.nodes:
            node.kill()


def masters_alone(folder: Path) -> RedisCluster:
    """Without replicas, and nobody is missed within a minute: what is away stays away."""
    return RedisCluster(
        folder, "--cluster-require-full-coverage", "no", replicas=0, node_timeout_ms=60_000
    )


@contextmanager
def frozen(node: ClusterNode) -> Iterator[None]:
    """Meanwhile it does not answer."""
    node.freeze()
    try:
        yield
    finally:
        node.thaw()


class Owners:
    """Who has which slot of a Cluster that moves none."""

    def __init__(self, cluster: RedisCluster) -> None:
        self._ranges = [
            (int(first), int(last), int(master[1]))
            for first, last, master, *_ in cluster.nodes[0].ask("CLUSTER", "SLOTS")
        ]

    def at(self, node: ClusterNode, key: str) -> bool:
        slot = slot_of(key)
        theirs = [(first, last) for first, last, port in self._ranges if port == node.port]
        assert theirs, "whoever looks for a key of this node would look without end"
        return any(first <= slot <= last for first, last in theirs)
