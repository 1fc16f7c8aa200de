"""Messages that leave together, framed once for everybody who is sent them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.protocol.frames import text_frames


class Run:
    """One or more text messages, one behind the other, for many sockets: none copies them.

    Args:
        messages: Each valid UTF-8.
        at_once: Nothing else goes to the same sockets in this turn of the loop, as far as anybody
            knows: there is nothing to wait for.

    Attributes:
        count: Of the messages.
        framed: The messages with their WebSocket headers, joined.
        size_bytes: Of the messages alone.
    """

    __slots__ = ("at_once", "count", "framed", "messages", "size_bytes")

    def __init__(self, messages: Sequence[bytes], *, at_once: bool = False) -> None:
        self.messages = messages
        self.at_once = at_once
        self.count = len(messages)
        self.framed = text_frames(messages)
        self.size_bytes = sum(map(len, messages))
