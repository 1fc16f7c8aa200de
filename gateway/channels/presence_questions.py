"""Questions about who is in channels, whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from gateway.errors import NotAvailable
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.settings.namespaces import ChannelOptions


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

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        """Everybody in a channel, of every worker, by client."""
        self._check(channel)
        return await self._store.members(channel)

    async def stats(self, channel: str) -> PresenceStats:
        """How many clients and users are in a channel."""
        self._check(channel)
        return await self._store.stats(channel)

    def _check(self, channel: str) -> None:
        if not self._options_of(channel).presence:
            raise NotAvailable(f"channel {channel} keeps no presence")
