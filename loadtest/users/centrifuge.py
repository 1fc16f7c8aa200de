"""A small client of the Centrifuge protocol in JSON: what it says, and what it hears."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from loadtest.users.socket import ClientSocket, Closed

PATH: Final = "/connection/websocket"
INSUFFICIENT: Final = 2500  # from here on an unsubscribed client subscribes again

Message = dict[str, Any]


class CentrifugeClient:
    """Commands and messages of one connection. One greenlet reads, any may ask.

    Args:
        sent: Called before each command, and each answer to a ping.
    """

    def __init__(self, socket: ClientSocket, sent: Callable[[], None]) -> None:
        self._socket = socket
        self._sent = sent
        self._newest = 0

    def ask(self, command: str, **fields: Any) -> int:
        """Send one command. Returns the id that its reply will have. May raise any of ``LOST``."""
        self._newest += 1
        self._send({"id": self._newest, command: fields})
        return self._newest

    def receive(self) -> list[Message] | Closed:
        """The messages of the next frame, without pings, which are answered."""
        frame = self._socket.receive()
        if isinstance(frame, Closed):
            return frame
        messages = [json.loads(line) for line in frame.split("\n") if line]
        if {} in messages:
            self._send({})
        return [message for message in messages if message]

    def _send(self, command: Message) -> None:
        self._sent()
        self._socket.send(json.dumps(command, separators=(",", ":")))
