"""The slots of a Cluster: whose a key is, and what its nodes say of who has which. No I/O.

https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.redis_support.stream import Endpoint

SLOTS: Final = 16384
REDIRECTS: Final = ("MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN")  # nothing was carried out
AGAIN_S: Final = 0.05  # until what was refused like this is tried again
_REDIRECT: Final = re.compile(r"(?:MOVED|ASK) (\d{1,5}) (\S*):(\d{1,5})")
_STATE: Final = re.compile(rb"cluster_state:(\w+)")
_EPOCH: Final = re.compile(rb"cluster_current_epoch:(\d{1,18})")


def slot_of(key: str | bytes) -> int:
    """Of a key or a sharded channel: CRC16 of its hash tag, or of all of it where it has none."""
    key = key.encode() if isinstance(key, str) else key
    _, brace, rest = key.partition(b"{")
    tag, end, _ = rest.partition(b"}")
    return binascii.crc_hqx(tag if brace and end and tag else key, 0) % SLOTS


def is_redirect(words: str) -> bool:
    """Whether an error says that the command is to be done elsewhere, or later."""
    return words.partition(" ")[0] in REDIRECTS


def read_redirect(words: str, asked: Endpoint) -> tuple[int, Endpoint] | None:
    """Slot and node of a MOVED or ASK that ``asked`` has answered with; None if it is neither."""
    found = _REDIRECT.match(words)
    if found is None or int(found[1]) >= SLOTS or not 0 < int(found[3]) < 1 << 16:
        return None
    return int(found[1]), (_host(found[2].strip("[]"), asked), int(found[3]))


@dataclass(frozen=True, slots=True)
class Sight:
    """What one node says.

    Attributes:
        owners: Of each slot the master; None for a slot that nobody has.
        nodes: All of them, replicas too.
        epoch: Rises with every failover, and whenever slots have moved.
        well: It sees a majority of masters, and all slots served.
        ids: Of these nodes. Two Clusters have none in common.
    """

    owners: tuple[Endpoint | None, ...]
    nodes: frozenset[Endpoint]
    epoch: int
    well: bool
    ids: frozenset[bytes] = frozenset()


def read_sight(info: Any, slots: Any, asked: Endpoint) -> Sight:
    """Take the replies to CLUSTER INFO and CLUSTER SLOTS apart.

    Raises:
        ValueError: They are none.
    """
    try:
        state, epoch = _STATE.search(info), _EPOCH.search(info)
        owners: list[Endpoint | None] = [None] * SLOTS
        nodes: set[Endpoint] = set()
        ids: set[bytes] = set()
        for first, last, *named in slots:
            endpoints = [_endpoint(node, asked) for node in named]
            nodes.update(endpoint for endpoint in endpoints if endpoint is not None)
            ids.update(node[2] for node in named if len(node) > 2)
            if not 0 <= first <= last < SLOTS:
                raise ValueError(f"slots {first} to {last}")
            owners[first : last + 1] = [endpoints[0]] * (last + 1 - first)
    except (TypeError, LookupError, AttributeError, UnicodeDecodeError) as error:
        raise ValueError(f"no slots can be read: {error!r}") from error
    if state is None or epoch is None:
        raise ValueError("it does not tell the state of the Cluster")
    well = state[1] == b"ok"
    return Sight(tuple(owners), frozenset(nodes), int(epoch[1]), well, frozenset(ids))


def _endpoint(node: Any, asked: Endpoint) -> Endpoint | None:
    """Where it is; None for a port that there cannot be: uvloop would connect to another one."""
    host, port = _host((node[0] or b"").decode(), asked), int(node[1])
    return (host, port) if 0 < port < 1 << 16 else None


def _host(said: str, asked: Endpoint) -> str:
    # "": under the name that it was asked by. "?": it does not know the name.
    return asked[0] if said in ("", "?") else said


def newest(sights: Sequence[Sight]) -> Sight:
    """The one to believe: of those that see a majority, the one with the newest configuration."""
    return max(sights, key=lambda sight: (sight.well, sight.epoch))
