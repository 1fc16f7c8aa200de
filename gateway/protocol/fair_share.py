"""How much one worker takes from all of its peers together: an equal part from each.

Pure: numbers.
"""

from __future__ import annotations

from typing import Final

UNDER_WAY_BYTES: Final = 16 << 20  # half of what Redis holds for a subscriber before it cuts it off
LEAST_ROOM_BYTES: Final = 64 << 10
MAX_EARLY_BYTES: Final = 16 << 20  # a link: as much as its peer may keep unacknowledged


class FairShare:
    """One worker's, for all of its links.

    Attributes:
        room_kib: What one peer may have under way to here.
        early_bytes: What is kept of it that came too early.
    """

    __slots__ = ("early_bytes", "room_kib")

    def __init__(self, peers: int = 1) -> None:
        self.part(peers)

    def part(self, peers: int) -> None:
        """Part it among so many from now on."""
        room = max(LEAST_ROOM_BYTES, UNDER_WAY_BYTES // max(1, peers))
        self.room_kib = room >> 10
        self.early_bytes = min(MAX_EARLY_BYTES, 4 * room)
