"""Who asks is told of everybody in a channel, or how many they are; never of some."""

from __future__ import annotations

import pytest

from gateway.channels.presence_questions import PresenceQuestions
from gateway.errors import NotAvailable, PresenceLimit
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.settings.namespaces import ChannelOptions


class Crowd:
    """A store, of which it is known how often members were read."""

    def __init__(self, *, counted: int, there: int) -> None:
        self.counted = counted
        self.there = there
        self.reads = 0

    async def members(self, channel: str) -> dict[str, ClientInfo]:
        self.reads += 1
        return {f"c{n}": ClientInfo("ann", f"c{n}") for n in range(self.there)}

    async def stats(self, channel: str) -> PresenceStats:
        return PresenceStats(self.counted, 1)


def asking(store: Crowd, *, presence: bool = True) -> PresenceQuestions:
    return PresenceQuestions(store, lambda _: ChannelOptions(presence=presence))


async def test_as_many_as_are_told_at_once_are_told() -> None:
    assert len(await asking(Crowd(counted=3, there=3)).members("room", most=3)) == 3


async def test_more_are_counted_and_not_read() -> None:
    crowd = Crowd(counted=10_001, there=10_001)

    with pytest.raises(PresenceLimit, match=r"more than 10000 .* channel room.*presence_stats"):
        await asking(crowd).members("room")
    assert crowd.reads == 0
    assert (await asking(crowd).stats("room")).clients == 10_001


async def test_who_has_come_since_they_were_counted_counts() -> None:
    with pytest.raises(PresenceLimit):
        await asking(Crowd(counted=3, there=4)).members("room", most=3)


async def test_where_nothing_is_kept_nothing_is_asked() -> None:
    crowd = Crowd(counted=1, there=1)

    with pytest.raises(NotAvailable):
        await asking(crowd, presence=False).members("room")
    with pytest.raises(NotAvailable):
        await asking(crowd, presence=False).stats("room")
    assert crowd.reads == 0
