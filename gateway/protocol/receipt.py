"""The receipt: the truthful answer to whoever sends to one connection, or closes it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Receipt(StrEnum):
    """What became of it. The gateway never guesses, and never sends again by itself.

    The first three come from the worker that holds the connection, or GONE from proof of its end.
    """

    WRITTEN = "written"
    """The socket's buffer took the frame, or the close frame. The client may still not get it."""
    GONE = "gone"
    """There is no such open connection, and there will never be again."""
    SLOW = "slow"
    """Nothing was written: too much waits for this socket already."""
    UNREACHABLE = "unreachable"
    """No answer in time: it may have been written, or may still be."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one of several: of what was sent to a user, or of closing their sockets."""

    connection: str
    receipt: Receipt
