"""Sockets that take a channel's runs in one pass over their descriptors. Pure.

Whoever is in a group is asked nothing before a run is written to it, so it leaves as soon as
anything is in the way: bytes that wait for the kernel, frames that have collected, its end. What a
pass has sent is counted once for all, and each member is told its part when it leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from gateway.protocol.ids import ConnectionId

if TYPE_CHECKING:
    from gateway.protocol.run import Run


class Member(Protocol):
    """One connection in a group."""

    @property
    def id(self) -> ConnectionId: ...

    def left_group(self, group: WriteGroup, frames: int, wrote_at: float) -> None:
        """It is no longer in ``group``, and was sent so many frames by it.

        Args:
            wrote_at: When the last of them was written, if there were any.
        """
        ...

    def send_rest(self, run: Run, taken: int) -> None:
        """Send what is behind the first ``taken`` bytes of a run, which are written."""
        ...


class WriteGroup:
    """Those of one channel and encoding. In no order: whoever leaves gives its place to the last.

    Attributes:
        descriptors: Of the members. Valid for as long as they are here.
    """

    __slots__ = ("_frames", "_members", "_places", "_since", "_wrote_at", "descriptors")

    def __init__(self) -> None:
        self.descriptors: list[int] = []
        self._members: list[Member] = []
        self._since: list[int] = []  # how many frames there had been when each of them came
        self._places: dict[ConnectionId, int] = {}
        self._frames = 0
        self._wrote_at = 0.0

    def __len__(self) -> int:
        return len(self.descriptors)

    def __contains__(self, connection: ConnectionId) -> bool:
        return connection in self._places

    def add(self, member: Member, descriptor: int) -> None:
        """Take in one that is not here, and has nothing before it that is to be sent."""
        self._places[member.id] = len(self.descriptors)
        self.descriptors.append(descriptor)
        self._members.append(member)
        self._since.append(self._frames)

    def remove(self, connection: ConnectionId) -> None:
        """Nothing if it is not here."""
        place = self._places.pop(connection, None)
        if place is None:
            return
        member, frames = self._members[place], self._frames - self._since[place]
        last, descriptor, since = self._members.pop(), self.descriptors.pop(), self._since.pop()
        if last is not member:
            self._places[last.id] = place
            self._members[place], self.descriptors[place] = last, descriptor
            self._since[place] = since
        member.left_group(self, frames, self._wrote_at)

    def sent(self, connection: ConnectionId) -> tuple[int, float]:
        """How many frames the group has sent a member, and when the last if there were any."""
        return self._frames - self._since[self._places[connection]], self._wrote_at

    def wrote(self, run: Run, taken: Sequence[int], now: float) -> list[tuple[Member, int]]:
        """A run was written to all descriptors, in order, and so many bytes of it were taken.

        Returns:
            Those that did not take all, and what they took. They have left, and this run does
            not count for them.
        """
        size = len(run.framed)
        late: list[tuple[Member, int]] = []
        if taken.count(size) != len(taken):
            late = [(self._members[at], some) for at, some in enumerate(taken) if some != size]
            for member, _ in late:
                self.remove(member.id)
        self._frames += run.count
        self._wrote_at = now
        return late
