"""Recovery: what a client has missed, of the history and of what has arrived meanwhile.

All of it, in order and once, or nothing: a client that is told that it has recovered has every
publication. Pure: no I/O and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.protocol.channel_position import Position

MAX_READ: Final = 300  # publications, with one read of the history
MAX_RECOVERED: Final = 300  # publications


class Publication(NamedTuple):
    """What was published; ``offset`` is 0 where the channel keeps no history."""

    offset: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class History:
    """The newest publications after some offset, at most ``MAX_READ``, in order; and the top."""

    top: Position
    publications: Sequence[Publication] = ()


def in_epoch(since: Position, epoch: str) -> bool:
    return not since.epoch or since.epoch == epoch


def beyond_recovery(since: Position, until: Position) -> bool:
    """Whether more was missed than may be recovered, so that no read would help."""
    return in_epoch(since, until.epoch) and until.offset - since.offset > MAX_RECOVERED


def recover(
    since: Position,
    until: Position,
    *,
    history: History | None,
    held: Iterable[Publication],
) -> list[Publication] | None:
    """Every publication after ``since`` up to ``until``; None if that cannot be had.

    Args:
        since: How far the client has come.
        until: How far the worker has come: what is after it, the client will be sent live.
        history: Read meanwhile. It may end before ``until``, or go on after it.
        held: What arrived meanwhile, in the epoch of ``until``.
    """
    if not in_epoch(since, until.epoch) or until.offset < since.offset:
        return None
    if beyond_recovery(since, until):
        return None
    found: dict[int, Publication] = {}
    if history is not None and history.top.epoch == until.epoch:
        found = {publication.offset: publication for publication in history.publications}
    # What has arrived counts more: it is what the other subscribers were sent.
    found.update((publication.offset, publication) for publication in held)
    try:
        return [found[offset] for offset in range(since.offset + 1, until.offset + 1)]
    except KeyError:
        return None
