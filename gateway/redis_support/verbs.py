"""What is said on a connection that subscribes, and what is heard."""

from __future__ import annotations

from typing import Final, NamedTuple

PING: Final = "PING"
ALIVE: Final = b""  # what a PING is about
SETTLED: Final = b"settled"  # the same, where somebody waits for its answer


class Verbs(NamedTuple):
    """One way of subscribing."""

    subscribe: str
    unsubscribe: str
    message: bytes
    subscribed: bytes
    unsubscribed: bytes


PLAIN: Final = Verbs("SUBSCRIBE", "UNSUBSCRIBE", b"message", b"subscribe", b"unsubscribe")
SHARDED: Final = Verbs("SSUBSCRIBE", "SUNSUBSCRIBE", b"smessage", b"ssubscribe", b"sunsubscribe")
