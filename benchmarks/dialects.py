"""How clients speak to a peer: what a text is on the wire, and what its answer is.

Every text is ``<client>:<sequence>:`` and padding, so that an answer tells whose it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a text looks like when said and when answered.

    Args:
        greets: Clients must wait for the server's Engine.IO hand-shaking before they speak.
    """

    said: Callable[[str], str]
    answered: Callable[[str], str]
    greets: bool = False


def _event(text: str) -> str:
    return "42" + json.dumps(["msg", text], separators=(",", ":"))


DIALECTS = {
    "plain": Dialect(said=str, answered=str),
    "gateway": Dialect(said=str, answered=lambda text: f"Received:{text}"),
    "socketio": Dialect(said=_event, answered=_event, greets=True),
}


class Conversation:
    """What one client said, and the judgement of each answer. No I/O.

    At most one text is under way at a time.
    """

    def __init__(self, number: int, size_bytes: int, dialect: str) -> None:
        self.number = number
        self.faults: dict[str, int] = {}
        self.awaiting = b""  # the answer that is under way; empty: none is
        self._dialect = DIALECTS[dialect]
        self._size_bytes = size_bytes
        self._sequence = 0

    def next(self) -> bytes:
        """The next text, as it goes on the wire."""
        self._sequence += 1
        text = f"{self.number}:{self._sequence}:".ljust(self._size_bytes, "x")
        self.awaiting = self._dialect.answered(text).encode()
        return self._dialect.said(text).encode()

    def take(self, answer: bytes) -> bool:
        """Whether this is what was awaited. What is not is counted, by what is wrong with it."""
        if answer == self.awaiting:
            self.awaiting = b""
            return True
        self.count(self._fault(answer))
        return False

    def end(self) -> None:
        """No answer comes any more."""
        if self.awaiting:
            self.awaiting = b""
            self.count("lost")

    def count(self, fault: str) -> None:
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def _fault(self, answer: bytes) -> str:
        frame = self._dialect.answered("|").encode().split(b"|")[0]
        number, _, rest = answer.removeprefix(frame).partition(b":")
        sequence = rest.partition(b":")[0]
        if not answer.startswith(frame) or not (number.isdigit() and sequence.isdigit()):
            return "altered"
        if int(number) != self.number:
            return "misrouted"
        if int(sequence) < self._sequence or (
            int(sequence) == self._sequence and not self.awaiting
        ):
            return "doubled"
        return "altered"
