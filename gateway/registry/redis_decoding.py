"""What is in Redis, read without trust: what means nothing is told to the node, and passed over."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from gateway.errors import BrokerUnavailable
from gateway.protocol.ids import ConnectionId, WorkerId, is_worker_id, owner_of
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.redis_support.client import GARBAGE
from gateway.redis_support.node import Node
from gateway.registry.base import Entry

NOTHING_KNOWN: Final = WorkerInfo(edge=False, handler=False)  # it lives, and can do nothing
FAR_MS: Final = 1 << 62  # further than any lease can end
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)

_CURSOR: Final = re.compile(r"([a-z0-9]{16})\.([0-9]{1,20})", re.ASCII)  # worker, HSCAN's own

_entry_in = msgspec.msgpack.Decoder(Entry).decode
_info_in = msgspec.json.Decoder(WorkerInfo).decode


def leases_of(reply: Any, node: Node) -> Leases:
    """What the script ``lease_look`` returned.

    Raises:
        BrokerUnavailable: It was no such reply.
    """
    try:
        now_ms, since_ms, leases, dead = reply
        fenced = {WorkerId(worker.decode(errors="replace")) for worker in dead}
        return Leases(int(now_ms), _leases(leases, node), fenced, _since_ms(since_ms, node))
    except GARBAGE as error:
        node.garbage(repr(error), "look")
        raise BrokerUnavailable(f"unreadable leases: {error!r}") from error


def _leases(flat: Sequence[bytes], node: Node) -> dict[WorkerId, tuple[int, WorkerInfo]]:
    leases: dict[WorkerId, tuple[int, WorkerInfo]] = {}
    for at in range(0, len(flat), 3):
        worker = flat[at].decode(errors="replace")
        if not is_worker_id(worker):
            node.garbage("no worker id", "workers")
            continue
        try:
            info = _info_in(flat[at + 2])
        except _UNREADABLE:
            info = NOTHING_KNOWN
            if flat[at + 2]:
                node.garbage("unreadable", "info")
        end_ms = min(max(float(flat[at + 1]), 0.0), FAR_MS)  # it may say inf
        leases[WorkerId(worker)] = (int(end_ms), info)
    return leases


def _since_ms(said: bytes | int, node: Node) -> int:
    if isinstance(said, int) or said.isdigit():
        return int(said)
    node.garbage("no time", "born")
    return 0


def entry_of(connection: str, value: bytes | None) -> tuple[ConnectionId, Entry] | None:
    """A field and its value, unless it is no connection, or what is no entry."""
    if value is None or owner_of(connection) is None:
        return None
    try:
        return ConnectionId(connection), _entry_in(value)
    except _UNREADABLE:
        return None


def without_wrong_types(replies: Sequence[Any]) -> list[Any]:
    """Replies of a pipeline, None for a key that has not its type: its worker will repair it."""
    for reply in replies:
        if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
            raise reply
    return [None if isinstance(reply, Exception) else reply for reply in replies]


def field_of(user: str) -> bytes:
    # A text that is no Unicode, as a shell may hand in, is nobody's, and no error.
    return user.encode(errors="surrogatepass")


def tails_of(connections: Collection[ConnectionId]) -> str:
    return " ".join(connection.partition(".")[2] for connection in connections)


def connections_of(worker: WorkerId, tails: bytes) -> list[ConnectionId]:
    named = (f"{worker}.{tail}" for tail in tails.decode(errors="replace").split(" "))
    return [ConnectionId(name) for name in named if owner_of(name) is not None]


def place_of(cursor: str) -> tuple[WorkerId, int]:
    """The worker and the cursor of HSCAN that our cursor stands for."""
    if not cursor:
        return WorkerId(""), 0
    match = _CURSOR.fullmatch(cursor)
    if match is None or int(match[2]) >= 1 << 64:
        raise ValueError(f"cursor {cursor!r} is not one of a list of connections")
    return WorkerId(match[1]), int(match[2])
