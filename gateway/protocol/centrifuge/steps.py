"""What a session wants done, in order."""

from __future__ import annotations

from typing import NamedTuple

from gateway.close_codes import Close
from gateway.protocol.centrifuge.codes import Unsubscribed
from gateway.protocol.centrifuge.commands import Request
from gateway.protocol.centrifuge.replies import frames


class Write(NamedTuple):
    """Send one text frame."""

    payload: bytes


class Ask(NamedTuple):
    """Do this, then call ``Session.answer`` once: with its result, an error, or a close.

    Connect is answered with a ``ConnectResult`` and so on; unsubscribe, publish and send with
    ``Empty``.

    Attributes:
        ended: Why the server unsubscribes, where it does.
    """

    ticket: int
    request: Request
    ended: Unsubscribed | None = None


class End(NamedTuple):
    """Close the connection. The last step there is. ``why`` is for the log."""

    close: Close
    why: str


Step = Write | Ask | End


class Steps:
    """Collects the steps of one call. Messages with no other step between them share frames."""

    __slots__ = ("_messages", "_steps")

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._messages: list[bytes] = []

    def message(self, message: bytes) -> None:
        self._messages.append(message)

    def then(self, step: Ask | End) -> None:
        self._write()
        self._steps.append(step)

    def take(self) -> list[Step]:
        """What has collected; nothing is left."""
        self._write()
        steps, self._steps = self._steps, []
        return steps

    def _write(self) -> None:
        if self._messages:
            self._steps.extend(map(Write, frames(self._messages)))
            self._messages.clear()
