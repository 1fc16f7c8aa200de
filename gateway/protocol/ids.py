"""Names of workers and connections. A connection's id says who owns it.

What does not match the forms below never becomes a key or a channel of the broker.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from typing import NewType

WorkerId = NewType("WorkerId", str)  # one process; new at every start
ConnectionId = NewType("ConnectionId", str)  # one client socket

RANDOM_BYTES_PER_WORKER_ID = 10
RANDOM_BYTES_PER_CONNECTION_ID = 16

_WORKER_LENGTH = 16
_CONNECTION = re.compile(r"[a-z0-9]{16}\.[A-Za-z0-9_-]{22}", re.ASCII)
_WORKER = re.compile(r"[a-z0-9]{16}", re.ASCII)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def worker_id(random: bytes) -> WorkerId:
    """Make a worker id from 10 random bytes: 16 characters of RFC 4648's base 32, lower case."""
    if len(random) != RANDOM_BYTES_PER_WORKER_ID:
        raise ValueError(f"a worker id takes {RANDOM_BYTES_PER_WORKER_ID} bytes, not {len(random)}")
    bits = int.from_bytes(random, "big")
    return WorkerId(
        "".join(_ALPHABET[bits >> shift & 31] for shift in range(5 * (_WORKER_LENGTH - 1), -1, -5))
    )


def connection_id(owner: WorkerId, random: bytes) -> ConnectionId:
    """Make a connection id from its owner and 16 random bytes: ``<owner>.<22 characters>``."""
    if len(random) != RANDOM_BYTES_PER_CONNECTION_ID:
        raise ValueError(
            f"a connection id takes {RANDOM_BYTES_PER_CONNECTION_ID} bytes, not {len(random)}"
        )
    return ConnectionId(f"{owner}.{urlsafe_b64encode(random)[:22].decode('ascii')}")


def is_worker_id(text: str) -> bool:
    return _WORKER.fullmatch(text) is not None


def owner_of(connection: str) -> WorkerId | None:
    """The worker that holds this connection, or None when the text is no connection id."""
    if _CONNECTION.fullmatch(connection) is None:
        return None
    return WorkerId(connection[:_WORKER_LENGTH])
