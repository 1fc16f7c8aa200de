"""What a case is made of: runs, each a load on a peer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.peer import Peer


@dataclass(frozen=True)
class Load:
    """What clients do, in a process of their own. See benchmarks.client for each kind.

    Args:
        per_s: Of all clients together; 0: as fast as answers come.
        flood: What a flood is made of, a key of benchmarks.floods.FLOODS.
        disturbs: It is there to disturb another load: its own figures do not count.
        at_once: Posts, handshakes or publications that are under way together.
        channel: What is subscribed to and published in.
        channels: Crowds of as many connections each that do the same at once, in a channel each;
            empty: one crowd, in ``channel``.
    """

    kind: str = "echo"
    connections: int = 200
    size_bytes: int = 64
    per_s: float = 0.0
    at_once: int = 16
    flood: str = ""
    disturbs: bool = False
    channel: str = "bench"
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One line of a case's table. ``label`` tells it from the others.

    Args:
        masters: Of the Redis Cluster behind the peer; 0: a single Redis.
    """

    label: str
    peer: Peer
    load: Load = field(default_factory=Load)
    disturbance: Load | None = None
    masters: int = 0


@dataclass(frozen=True)
class Case:
    """Args: runs: The first is what the others are compared with. once: One round is enough."""

    name: str
    title: str
    runs: Sequence[Run]
    once: bool = False
