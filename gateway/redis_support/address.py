"""Where Redis is, and who may speak to it: one node, the primary of Sentinels, or a Cluster."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from gateway.redis_support.cluster import ClusterMap
from gateway.redis_support.locators import OneMaster, SlotMaster
from gateway.redis_support.node import Node
from gateway.redis_support.sentinels import Sentinels
from gateway.redis_support.slots import slot_of
from gateway.redis_support.stream import Endpoint

SENTINEL: Final = "+sentinel"  # after redis or rediss
CLUSTER: Final = "+cluster"


class Locator(Protocol):
    """Who knows where a node is."""

    @property
    def primary(self) -> Endpoint | None:
        """Where it was last; None while that is unknown."""
        ...

    async def locate(self) -> Endpoint:
        """Raises BrokerUnavailable: nobody says."""
        ...

    def locate_blocking(self, *, deadline_s: float) -> Endpoint:
        """Raises ConfigError besides: nobody ever will."""
        ...


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis node, the primary that Sentinels name, or a Cluster or a master of it.

    Attributes:
        url: Of the node; with a ``locator``, of the first of those that are asked, but with what a
            node is told.
        host: The node's, as ``port`` is; nowhere to be connected to when there is a ``locator``.
        path: A unix socket; excludes ``host`` and ``port``.
        node: Common to all connections that are made with this address.
        locator: Who knows where the node is. None for a Cluster as a whole too: see ``of``.
        sentinels: Those that are the ``locator``.
        cluster: What is known of the Cluster.
    """

    url: str
    host: str
    port: int
    path: str | None
    database: int
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    node: Node = field(default_factory=Node, repr=False, compare=False)
    locator: Locator | None = field(default=None, repr=False, compare=False)
    sentinels: Sentinels | None = field(default=None, repr=False, compare=False)
    cluster: ClusterMap | None = field(default=None, repr=False, compare=False)
    _parts: dict[int, RedisAddress] = field(default_factory=dict, repr=False, compare=False)

    def __repr__(self) -> str:
        return f"RedisAddress({self.display})"

    @property
    def display(self) -> str:
        """The address without its password, for people."""
        if self.sentinels is not None:
            scheme = ("rediss" if self.tls else "redis") + SENTINEL
            hosts = ",".join(host_port(*host) for host in self.sentinels.hosts)
            return f"{scheme}://{hosts}/{self.sentinels.name}/{self.database}"
        if self.cluster is not None and self.locator is None:
            scheme = ("rediss" if self.tls else "redis") + CLUSTER
            return f"{scheme}://{','.join(host_port(*seed) for seed in self.cluster.nodes.seeds)}"
        if self.cluster is not None:
            assert self.locator is not None
            at = self.locator.primary
            return "a master of the Cluster" if at is None else f"{host_port(*at)} of the Cluster"
        where = self.path or host_port(self.host, self.port)
        scheme = "unix" if self.path else "rediss" if self.tls else "redis"
        return f"{scheme}://{where}/{self.database}"

    @property
    def sharded(self) -> bool:
        """Whether pub/sub is that of a Cluster: SPUBLISH, SSUBSCRIBE and SUNSUBSCRIBE."""
        return self.cluster is not None

    @property
    def publish_verb(self) -> str:
        return "PUBLISH" if self.cluster is None else "SPUBLISH"

    def of(self, key: str) -> RedisAddress:
        """The address of whoever has this key or channel: of a Cluster, the master of its slot.

        All that ask for keys of one slot share one node.
        """
        if self.cluster is None:
            return self
        slot = slot_of(key)
        if slot not in self._parts:
            part = self._part()
            assert part.cluster is not None
            locator = SlotMaster(part.cluster, slot, part.node.switched)
            self._parts[slot] = _at(part, locator)
        return self._parts[slot]

    def at(self, master: Endpoint) -> RedisAddress:
        """The address of this one master of the Cluster."""
        part = self._part()
        assert part.cluster is not None
        return _at(part, OneMaster(part.cluster, master))

    def _part(self) -> RedisAddress:
        cluster = self.cluster
        assert cluster is not None
        part = replace(self, node=Node(), _parts={})
        part.node.count = lambda kind: self.node.count(kind)  # noqa: PLW0108 (it is set later)
        part.node.redirected = cluster.redirected
        return part

    async def where(self) -> Endpoint:
        """Where to connect to now.

        Raises:
            BrokerUnavailable: Nobody says.
        """
        if self.locator is None:
            return self.host, self.port
        return await self.locator.locate()

    def where_blocking(self, *, deadline_s: float) -> Endpoint:
        """The same without an event loop. Raises ConfigError besides: nobody ever will."""
        if self.locator is None:
            return self.host, self.port
        return self.locator.locate_blocking(deadline_s=deadline_s)

    def is_at(self, endpoint: Endpoint) -> bool:
        """Whether a connection that was made to there is still one to this node."""
        return self.locator is None or self.locator.primary == endpoint


def _at(part: RedisAddress, locator: Locator) -> RedisAddress:
    """This part of a Cluster, which knows who it is."""
    made = replace(part, locator=locator)
    made.node.where = lambda: made.display
    return made


def host_port(host: str, port: int) -> str:
    """As it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
