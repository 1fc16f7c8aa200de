"""Questions about who is in channels, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway.errors import NotAvailable, PresenceLimit
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.settings.namespaces import ChannelOptions

MAX_MEMBERS: Final = 10_000  # 100,000 would hold the loop for 165 ms


class Presence(Protocol):
    """What answers: a ``PresenceStore``, or what stands for one in a test."""

    async def members(self, channel: str) -> Mapping[str, ClientInfo]: ...

    async def stats(self, channel: str) -> PresenceStats: ...


class PresenceQuestions:
    """Asks the store, where the namespace has presence.

    Every call may raise NotAvailable (the channel keeps no presence), BadChannel, UnknownChannel,
    and BrokerUnavailable: nobody can know now.

    Args:
        options_of: The options of a channel; raises BadChannel and UnknownChannel.
    """

    def __init__(self, store: Presence, options_of: Callable[[str], ChannelOptions]) -> None:
        self._store = store
        self._options_of = options_of

    async def members(self, channel: str, *, most: int = MAX_MEMBERS) -> Mapping[str, ClientInfo]:
        """Everybody in a channel, of every worker, by client.

        Raises:
            PresenceLimit: They are more than ``most``: nobody is told of some of them as if these
                were all.
        """
        self._check(channel)
        # How many there are is kept, and asked first: nobody has a whole crowd read for a no.
        if (await self._store.stats(channel)).clients > most:
            raise PresenceLimit(channel, limit=most)
        members = await self._store.members(channel)
        if len(members) > most:  # some have come meanwhile
            raise PresenceLimit(channel, limit=most)
        return members

    async def stats(self, channel: str) -> PresenceStats:
        """How many clients and users are in a channel."""
        self._check(channel)
        return await self._store.stats(channel)

    def _check(self, channel: str) -> None:
        if not self._options_of(channel).presence:
            raise NotAvailable(f"channel {channel} keeps no presence")
