"""Channels of a test: real ones in memory, with the clients of the test in them."""

from __future__ import annotations

import asyncio
import fnmatch
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from gateway.channel_broker.base import Publishing, Stored
from gateway.channel_broker.memory import MemoryChannelBroker
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.edge.sessions.text_subscriptions import as_text
from gateway.errors import ChannelLimit, UnknownChannel
from gateway.messaging.channel_survey import DEFAULT_LIMIT, SurveyedChannels
from gateway.metrics import Counters
from gateway.presence.base import PresenceStats
from gateway.protocol import channel_names
from gateway.protocol.channel_messages import ClientInfo, read_publication
from gateway.protocol.json_values import value_of
from gateway.settings.namespaces import ChannelOptions, Namespaces

if TYPE_CHECKING:
    from gateway.testing.client import Client

HOW: Final = "set it up for workers, and for a test by outbox(gateway, namespaces=Namespaces(…))"


@dataclass(frozen=True, slots=True)
class Published:
    """What an application has published.

    Attributes:
        data: As JSON says it: a tuple is a list.
    """

    channel: str
    data: Any
    tags: Mapping[str, str] = field(default_factory=dict)


class TestChannels:
    """Who is in which channel, and what stands for a worker's parts (``app.ChannelStandIn``).

    Args:
        namespaces: Asked for once a channel is used.
        published: Told what is published, unless it is suppressed.
    """

    __test__ = False  # for pytest

    def __init__(
        self, namespaces: Callable[[], Namespaces], published: Callable[[Published], None]
    ) -> None:
        self._namespaces = namespaces
        self._published = published
        self._subscribers: dict[str, dict[str, Client | None]] = defaultdict(dict)
        self.publisher = Publisher(_Broker(self._told), self.options_of, Counters())
        self.presence = PresenceQuestions(self, self.options_of)
        self.survey = self

    def options_of(self, channel: str) -> ChannelOptions:
        """Raises as ``Namespaces.options_of``, and says how a test has others."""
        try:
            return self._namespaces().options_of(channel)
        except UnknownChannel as error:
            raise UnknownChannel(f"{error}: {HOW}") from None

    def subscribe(self, connection: str, client: Client | None, channel: str) -> None:
        """Raises as ``Gateway.subscribe`` does."""
        self.options_of(channel)
        mine = [name for name, there in self._subscribers.items() if connection in there]
        if channel not in mine and len(mine) >= channel_names.MAX_CHANNELS_PER_CONNECTION:
            most = channel_names.MAX_CHANNELS_PER_CONNECTION
            raise ChannelLimit(f"a connection has {most} channels at most")
        self._subscribers[channel][connection] = client

    def unsubscribe(self, connection: str, channel: str) -> None:
        self._subscribers[channel].pop(connection, None)

    def _in(self, channel: str) -> dict[str, Client | None]:
        """Who has subscribed, and is not closed."""
        there = self._subscribers.get(channel, {})
        return {name: who for name, who in there.items() if who is None or who.closed is None}

    def _told(self, publishing: Publishing) -> None:
        body = read_publication(publishing.body)
        data = value_of(body.data)
        self._published(Published(publishing.channel, data, body.tags))
        text = as_text(publishing.channel, 0, body).decode()
        for client in self._in(publishing.channel).values():
            if client is not None:
                client.received.append(text)

    # What presence and lists ask

    async def members(self, channel: str) -> Mapping[str, ClientInfo]:
        return {
            name: ClientInfo((client.connection.user or "") if client else "", name)
            for name, client in self._in(channel).items()
        }

    async def stats(self, channel: str) -> PresenceStats:
        members = await self.members(channel)
        return PresenceStats(len(members), len({info.user for info in members.values()}))

    async def page(
        self, *, pattern: str = "*", after: str = "", limit: int = DEFAULT_LIMIT
    ) -> SurveyedChannels:
        names = sorted(
            name
            for name in self._subscribers
            if name > after and fnmatch.fnmatchcase(name, pattern) and self._in(name)
        )
        counted = {name: len(self._in(name)) for name in names[:limit]}
        return SurveyedChannels(counted, names[limit - 1] if len(names) > limit else "", [])


class _Broker(MemoryChannelBroker):
    """Keeps history, and tells what is published, before whoever waits for it goes on."""

    def __init__(self, told: Callable[[Publishing], None]) -> None:
        super().__init__()
        self._told = told

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        stored = super().publish(publishing)

        def tell(done: asyncio.Future[Stored]) -> None:
            if not done.result().suppressed:
                self._told(publishing)

        stored.add_done_callback(tell)
        return stored
