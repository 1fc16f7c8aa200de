"""What is in Redis, read without trust: what means nothing is told to the node, and passed over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from gateway.errors import BrokerUnavailable
from gateway.protocol.ids import ConnectionId, WorkerId, is_worker_id, owner_of
from gateway.protocol.members import Leases, WorkerInfo
from gateway.redis_support.node import Node
from gateway.registry.base import Entry

NOTHING_KNOWN: Final = WorkerInfo(edge=False, handler=False)  # it lives, and can do nothing
FAR_MS: Final = 1 << 62  # further than any lease can end
# What comes of replies that are not what was asked for.
GARBAGE: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
_UNREADABLE: Final = (msgspec.DecodeError, ValueError, RecursionError)

_entry_in = msgspec.msgpack.Decoder(Entry).decode
_info_in = msgspec.json.Decoder(WorkerInfo).decode


def leases_of(reply: Any, node: Node) -> Leases:
    """What the script ``look`` returned.

    Raises:
        BrokerUnavailable: It was no such reply.
    """
    try:
        now_ms, born_ms, leases, dead = reply
        tombstones = {WorkerId(worker.decode(errors="replace")) for worker in dead}
        return Leases(int(now_ms), _leases(leases, node), tombstones, _born_ms(born_ms, node))
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


def _born_ms(said: bytes | int, node: Node) -> int:
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
    """Replies of a pipeline, None for a key that has not its type: its worker will mend it."""
    for reply in replies:
        if isinstance(reply, Exception) and "WRONGTYPE" not in str(reply):
            raise reply
    return [None if isinstance(reply, Exception) else reply for reply in replies]
