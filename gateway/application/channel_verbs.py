"""What an application does to channels."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway import arguments
from gateway.application.publications import History, Published, history_of, published
from gateway.channel_broker.base import Stored
from gateway.channels.publisher import MAX_PAGE, Publisher
from gateway.commands import batch
from gateway.commands.definitions import Broadcast, Publish, Subscribe, Unsubscribe
from gateway.messaging.channel_survey import DEFAULT_LIMIT, MAX_LIMIT, Survey, SurveyedChannels
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.channel_position import Position
from gateway.protocol.json_depth import LEAST_TOO_DEEP_BYTES, check_depth
from gateway.protocol.json_values import is_json, json_of
from gateway.protocol.receipt import Receipt

PAGE: Final = 50

_encode: Final = msgspec.json.Encoder().encode


class ChannelVerbs(ABC):
    """The verbs of channels."""

    @property
    @abstractmethod
    def _requests(self) -> RequestsToUsers:
        """What reaches connections. Raises NotRunning where nothing does."""

    @abstractmethod
    async def _publisher(self) -> Publisher:
        """What publishes. Raises NotRunning where nothing does."""

    @property
    @abstractmethod
    def _survey(self) -> Survey:
        """What asks all workers. Raises NotRunning where nothing does."""

    async def publish(
        self,
        channel: str,
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        version: int = 0,
        history: bool = True,
    ) -> Published:
        """Publish to everybody in a channel, and keep it if the channel's namespace keeps history.

        Every subscriber gets the publications of a channel in one order. That this returns does not
        mean that anybody was there. Cancelling takes nothing back.

        Args:
            data: What JSON can say: of at most 64 KiB as such, with its tags, and of at most 128
                lists and dicts in each other. A text socket gets a
                string as its text, anything else as JSON.
            idempotency_key: With the same key and channel, nothing is published again for 300 s.
                Of 1 to 255 bytes.
            version: Above 0: nothing is published unless it is over that of the last publication of
                this channel that had one. Needs history.
            history: False: it is not kept, also where others are.

        Raises:
            BadChannel: No channel may be called that.
            UnknownChannel: Its namespace is not set up.
            BrokerUnavailable: Nobody can know whether it was published; or, of a client, no worker
                has told which channels keep a history, and nothing was.
            PublicationTooLarge: Nothing was published.
            TypeError: JSON cannot say the data.
            ValueError: The key is empty or too long, or the version is below 0 or without history.
            UnicodeEncodeError: A text has a lone surrogate.
            NotRunning: Of a ``Gateway`` outside of its lifespan.
        """
        # For every publication: calls of functions for what most have not would be felt.
        try:
            said = _encode(data)
            is_json(said)  # it may hold what is said to be JSON, and is not
            if len(said) >= LEAST_TOO_DEEP_BYTES:
                check_depth(said)
            said = said.replace(b"\n", b"")
        except Exception:  # of whichever kind: there it is said, if it cannot be mended
            said = json_of("data", data)
        if (
            type(channel) is str
            and channel.isascii()
            and tags is None
            and idempotency_key is None
            and type(version) is int
            and version == 0
            and history is True
        ):
            return published(await (await self._publisher()).publish(channel, said))
        command = Publish(
            channel,
            None,
            tags=tags,
            idempotency_key=idempotency_key,
            version=version,
            history=history,
        )
        return published(await batch.publish(await self._publisher(), command, said))

    async def broadcast(
        self,
        channels: Sequence[str],
        data: Any,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        version: int = 0,
        history: bool = True,
    ) -> list[Published | Exception]:
        """Publish the same to several channels: with one call, and one round trip to the broker.

        Each channel gets its own publication, as ``publish`` makes one; cancelling takes none back.

        Args:
            channels: At most 1000; of all of them together 4 MiB, the data counted for each.
            data: As of ``publish``, and so are the others; a key counts for each channel by itself,
                so that the whole call may be repeated.

        Returns:
            For each channel, in their order, what became of it; or why nothing is known to be
            published there, what ``publish`` would raise: BadChannel, UnknownChannel,
            BrokerUnavailable, or ValueError for a version without history. One that failed keeps
            none of the others from being published.

        Raises:
            ValueError: There are too many; or the key or the version can be nowhere. Here and below
                nothing was published.
            BrokerUnavailable: Of a client, no worker has told which channels keep a history.
            PublicationTooLarge, UnicodeEncodeError, NotRunning: As of ``publish``.
            TypeError: The same; or the channels are one text, or one of them is none.
        """
        command = Broadcast(
            channels,
            None,
            tags=tags,
            idempotency_key=idempotency_key,
            version=version,
            history=history,
        )
        said = json_of("data", data)
        answers = batch.broadcast(await self._publisher(), command, said)
        await asyncio.gather(*answers, return_exceptions=True)
        done = [batch.outcome(each) for each in answers]
        return [published(each) if isinstance(each, Stored) else each for each in done]

    async def subscribe(self, connection: str, channel: str) -> Receipt:
        """Subscribe one connection to a channel, whichever worker holds it.

        It gets everything that is published once this has returned WRITTEN. Subscribing twice is
        subscribing once. It ends with the connection: who comes back is subscribed again, best by
        ``Admit(channels=…)``. No namespace needs to allow it: this is not the client's wish.

        Args:
            connection: ``Connection.id``, of any worker.

        Returns:
            WRITTEN: it is subscribed, and others see it where the channel keeps presence. GONE:
            there is no such connection. UNREACHABLE: no answer in 2 s, or the broker is away; it
            may still be subscribed. Trying again in a second is safe. That is also the answer where
            its worker runs a release without channels.

        Raises:
            BadChannel: No channel may be called that.
            UnknownChannel: Its namespace is not set up, says its owner.
            ChannelLimit: The connection has 128 channels.
            WorkerChannelLimit: Its worker has ``GATEWAY_MAX_CHANNELS``; a ``ChannelLimit`` too.
            NotRunning: Of a ``Gateway`` outside of its lifespan.
        """
        command = Subscribe(connection, channel)
        return await batch.to_connection(self._requests, command)

    async def unsubscribe(self, connection: str, channel: str) -> Receipt:
        """Unsubscribe one connection from a channel, whichever worker holds it.

        Nothing of the channel is sent to it once this has returned WRITTEN, which is also the
        answer if it was not subscribed.

        Raises:
            BadChannel, NotRunning: As of ``subscribe``.
        """
        command = Unsubscribe(connection, channel)
        return await batch.to_connection(self._requests, command)

    async def history(
        self,
        channel: str,
        *,
        limit: int = PAGE,
        since: Position | None = None,
        reverse: bool = False,
    ) -> History:
        """Read what is kept of a channel, from the oldest, or in reverse from the newest.

        Args:
            limit: 0 to 300 publications; 0 for the newest place alone.
            since: Only what comes after this place, or in reverse before it. An empty epoch is any.

        Raises:
            NotAvailable: The channel keeps no history.
            UnrecoverablePosition: ``since`` is of another epoch.
            ValueError: The limit is out of bounds.
            BrokerUnavailable: Nobody can know now.
            BadChannel, UnknownChannel, NotRunning: As of ``publish``.
        """
        channel = arguments.text("channel", channel)
        limit = arguments.within("limit", limit, 0, MAX_PAGE)
        if since is not None:
            since = _place(since)
        reverse = arguments.switch("reverse", reverse)
        publisher = await self._publisher()
        page = await publisher.page(channel, limit=limit, since=since, reverse=reverse)
        return history_of(page)

    async def remove_history(self, channel: str) -> None:
        """Forget what is kept of a channel; offsets go on in the same epoch.

        Raises:
            NotAvailable: The channel keeps no history.
            BrokerUnavailable: Nobody can know whether it is gone.
            BadChannel, UnknownChannel, NotRunning: As of ``publish``.
        """
        channel = arguments.text("channel", channel)
        await (await self._publisher()).remove_history(channel)

    async def channels(
        self, pattern: str = "*", *, after: str = "", limit: int = DEFAULT_LIMIT
    ) -> SurveyedChannels:
        """List the channels that have subscribers, by name, with how many at all workers together.

        Every worker is asked, for 2 s at most. Who comes or goes meanwhile may be counted or not.

        Args:
            pattern: As of a shell: ``room:*``. At most 255 characters.
            after: The next page begins behind this name.
            limit: 1 to 1000 channels.

        Raises:
            ValueError: The pattern is too long, or the limit out of bounds.
            BrokerUnavailable: Nobody knows which workers there are.
            NotRunning: Of a ``Gateway`` outside of its lifespan.
        """
        pattern, after = arguments.text("pattern", pattern), arguments.text("after", after)
        limit = arguments.within("limit", limit, 1, MAX_LIMIT)
        return await self._survey.page(pattern=pattern, after=after, limit=limit)


def _place(since: object) -> Position:
    place = arguments.instance("since", since, Position, "a Position or None")
    offset = arguments.whole("since.offset", place.offset)
    return Position(arguments.text("since.epoch", place.epoch), offset)
