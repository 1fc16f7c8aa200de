"""Commands of a connection that subscribes, as long as they have no answer."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class Outstanding:
    """In the order in which they were sent, which is that of the answers.

    A command is answered once for each thing that it is about, or with one error for all of them.
    """

    def __init__(self) -> None:
        self._commands: deque[tuple[str, Sequence[bytes]]] = deque()
        self._answered = 0  # of what the first is about

    def sent(self, word: str, about: Sequence[bytes]) -> None:
        self._commands.append((word, about))

    def next(self) -> tuple[str, bytes] | None:
        """What is to be answered next; None where nothing is."""
        if not self._commands:
            return None
        word, about = self._commands[0]
        return word, about[self._answered]

    def answered(self, word: str, one: bytes) -> bool:
        """Whether this is the answer to what is next. Nothing is out of turn."""
        if self.next() != (word, one):
            return False
        self._answered += 1
        if self._answered == len(self._commands[0][1]):
            self.refused()
        return True

    def refused(self) -> tuple[str, Sequence[bytes]] | None:
        """Take out the command that an error is about; None where there is none."""
        self._answered = 0
        return self._commands.popleft() if self._commands else None

    def clear(self) -> None:
        self._commands.clear()
        self._answered = 0
