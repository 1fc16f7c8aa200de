"""The client for asyncio."""

from __future__ import annotations

from gateway.application.batch_verbs import BatchVerbs
from gateway.application.channel_verbs import ChannelVerbs
from gateway.application.presence_verbs import PresenceVerbs
from gateway.application.verbs import Verbs
from gateway.backend_client.channels import ClientChannels
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.messaging.channel_survey import ChannelSurvey
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.envelopes.requests_to_owners import Receipted


class AsyncClient(Verbs, ChannelVerbs, PresenceVerbs, BatchVerbs):
    """What ``async with gateway.client(url)`` gives. Safe to use from several tasks of its loop.

    The first call about a channel opens a connection to Redis that publishes and reads. History and
    presence of a channel are as the workers have them, who tell their namespaces by Redis: a change
    reaches a client within 10 s. Where no worker has told any, such a call raises
    BrokerUnavailable, and where one of a newer release has told what this one does not know,
    ConfigError. After the block every verb raises NotRunning.
    """

    def __init__(
        self,
        requests_to_owners: RequestsToOwners,
        requests_to_users: RequestsToUsers,
        users_of_batches: RequestsToUsers,
        survey: ChannelSurvey,
        channels: ClientChannels,
    ) -> None:
        self._requests_to_owners = requests_to_owners
        self._requests_to_users = requests_to_users
        self._users_of_batches = users_of_batches
        self._channel_survey = survey
        self._channels = channels

    @property
    def _requests(self) -> RequestsToUsers:
        self._channels.check_open()
        return self._requests_to_users

    @property
    def _requests_of_batches(self) -> RequestsToUsers:
        self._channels.check_open()
        return self._users_of_batches

    async def _publisher(self) -> Publisher:
        return await self._channels.publisher()

    async def _presence(self) -> PresenceQuestions:
        return await self._channels.presence()

    @property
    def _survey(self) -> ChannelSurvey:
        self._channels.check_open()
        return self._channel_survey


async def inquire(client: AsyncClient, connection: str) -> Receipted:
    """What the owner of a connection says of it. For tools."""
    return await client._requests_to_owners.inquire(connection)  # noqa: SLF001
