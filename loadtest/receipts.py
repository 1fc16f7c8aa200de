"""What a backend is owed: every receipt compared with what the sockets got. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from loadtest.checker import Heard

PUSH: Final = "push"
RECEIPTS: Final = {200: "written", 410: "gone", 429: "slow", 503: "unreachable"}

UNKNOWN: Final = "not known"  # the call has not returned

LOST: Final = "written, and never arrived"
ALIVE: Final = "gone, and lives"
SMUGGLED: Final = "slow, and arrived"
TWICE: Final = "pushed twice"
ELSEWHERE: Final = "pushed to the wrong socket"
UNASKED: Final = "pushed by nobody"
LIES: Final = (LOST, ALIVE, SMUGGLED, TWICE, ELSEWHERE, UNASKED)


@dataclass(slots=True)
class Push:
    """One send to a connection, and what became of it."""

    connection: str
    begun_s: float
    receipt: str = UNKNOWN
    arrived: int = 0


class ReceiptBook:
    """The pushes of one process to the sockets of the same process.

    Args:
        author: Tells the pushes of this process from those of others.
    """

    def __init__(self, author: str) -> None:
        self._author = author
        self._pushes: dict[str, Push] = {}
        self._elsewhere = 0
        self._unasked = 0

    def begin(self, connection: str, now_s: float) -> tuple[str, Push]:
        """A push to this connection, and its text."""
        serial = f"{self._author}-{len(self._pushes)}"
        push = self._pushes[serial] = Push(connection, now_s)
        return f"{PUSH} {serial} {connection}", push

    def arrive(self, text: str, connection: str, now_s: float) -> Heard | None:
        """A socket got this push. None: it is a lie, and is told with the others."""
        _, _, rest = text.partition(" ")
        serial, _, target = rest.partition(" ")
        push = self._pushes.get(serial)
        if target != connection:
            self._elsewhere += 1
        elif push is None or push.connection != target:
            self._unasked += 1
        else:
            push.arrived += 1
            if push.arrived == 1:
                return Heard(latency_s=now_s - push.begun_s)
        return None

    @property
    def awaited(self) -> int:
        """Without a receipt yet, or written and not arrived yet."""
        return sum(
            push.receipt == UNKNOWN or (push.receipt == RECEIPTS[200] and not push.arrived)
            for push in self._pushes.values()
        )

    def receipts(self) -> Counter[str]:
        return Counter(push.receipt for push in self._pushes.values())

    def lies(self, standing: set[str]) -> Counter[str]:
        """What was not true, given the connections that stayed open to the end."""
        found: Counter[str] = Counter()
        for push in self._pushes.values():
            stands = push.connection in standing
            found[LOST] += push.receipt == "written" and not push.arrived and stands
            found[ALIVE] += push.receipt == "gone" and stands
            found[SMUGGLED] += push.receipt == "slow" and push.arrived > 0
            found[TWICE] += push.arrived > 1
        found[ELSEWHERE] = self._elsewhere
        found[UNASKED] = self._unasked
        return +found
