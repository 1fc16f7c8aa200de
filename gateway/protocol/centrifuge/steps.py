"""What a session wants done, in order."""

from __future__ import annotations

import msgspec

from gateway.close_codes import Close
from gateway.protocol.centrifuge.codes import Unsubscribed
from gateway.protocol.centrifuge.commands import Request
from gateway.protocol.centrifuge.replies import frames


class Write(msgspec.Struct, frozen=True, gc=False):
    """Send one text frame."""

    payload: bytes


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Do this, then call ``Session.answer`` once: with its result, an error, or a close.

    Connect is answered with a ``ConnectResult`` and so on; unsubscribe, publish and send with
    ``Empty``.

    Attributes:
        ended: Why the server unsubscribes, where it does.
    """

    ticket: int
    request: Request
    ended: Unsubscribed | None = None


class End(msgspec.Struct, frozen=True, gc=False):
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
        if self._messages:
            self._write()
        self._steps.append(step)

    def take(self) -> list[Step]:
        """What has collected; nothing is left."""
        if self._messages:
            self._write()
        steps, self._steps = self._steps, []
        return steps

    def _write(self) -> None:
        messages, self._messages = self._messages, []
        if len(messages) == 1:
            self._steps.append(Write(messages[0]))
        else:
            self._steps.extend(map(Write, frames(messages)))
