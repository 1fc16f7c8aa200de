"""What an application asks about who is in a channel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway import arguments
from gateway.channels.presence_questions import PresenceQuestions
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.json_values import value_of


@dataclass(frozen=True, slots=True)
class Member:
    """Who is in a channel.

    Attributes:
        user: Empty for a client without a user.
        client: The connection.
        connection_info: What was said of it as it connected, as JSON says it; None if nothing.
        channel_info: The same of its subscription.
    """

    user: str
    client: str
    connection_info: Any = None
    channel_info: Any = None


class PresenceVerbs(ABC):
    """The verbs of presence."""

    @abstractmethod
    async def _presence(self) -> PresenceQuestions:
        """What knows. Raises NotRunning where nothing does."""

    async def presence(self, channel: str) -> Mapping[str, Member]:
        """Everybody in a channel, at whichever worker, by client.

        Who comes or goes meanwhile may be among them or not. The members of a worker that was
        killed are among them until it is swept, at most 15 s.

        Raises:
            PresenceLimit: More than 10,000 are in it; ``presence_stats`` counts them.
            NotAvailable: The channel keeps no presence.
            BrokerUnavailable: Nobody can know now.
            BadChannel: No channel may be called that.
            UnknownChannel: Its namespace is not set up.
            NotRunning: Of a ``Gateway`` outside of its lifespan.
        """
        channel = arguments.text("channel", channel)
        members = await (await self._presence()).members(channel)
        return {client: _member(info) for client, info in members.items()}

    async def presence_stats(self, channel: str) -> PresenceStats:
        """How many clients and how many users are in a channel: numbers that are kept, not counted.

        A user with several clients is one, and so are all clients without a user together.

        Raises:
            NotAvailable, BrokerUnavailable, BadChannel, UnknownChannel, NotRunning: As of
                ``presence``.
        """
        channel = arguments.text("channel", channel)
        return await (await self._presence()).stats(channel)


def _member(info: ClientInfo) -> Member:
    return Member(info.user, info.client, _json(info.conn_info), _json(info.chan_info))


def _json(said: bytes) -> Any:
    return value_of(said) if said else None
