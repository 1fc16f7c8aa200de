"""Messages that leave together, framed once for everybody who is sent them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.protocol.frames import text_frames
from gateway.protocol.write_group import WriteGroup


class Run:
    """One or more text messages, one behind the other, for many sockets: none copies them.

    Args:
        messages: Each valid UTF-8.
        group: Of those that take such runs at once, if this is one: nothing else goes to the same
            sockets in this turn of the loop, as far as anybody knows, so there is nothing to wait
            for. Whoever takes it at once may enter.

    Attributes:
        count: Of the messages.
        framed: The messages with their WebSocket headers, joined.
        size_bytes: Of the messages alone.
    """

    __slots__ = ("count", "framed", "group", "messages", "size_bytes")

    def __init__(self, messages: Sequence[bytes], *, group: WriteGroup | None = None) -> None:
        self.messages = messages
        self.group = group
        self.count = len(messages)
        self.framed = text_frames(messages)
        self.size_bytes = sum(map(len, messages))
