"""Publishing to channels, and reading what is kept of them: names and bounds are checked here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.channel_broker.base import (
    ChannelBroker,
    HistoryOptions,
    Page,
    Publishing,
    Stored,
)
from gateway.errors import BadChannel, NotAvailable, PublicationTooLarge, UnknownChannel
from gateway.metrics import Counters
from gateway.protocol.channel_messages import (
    MAX_PUBLICATION_BYTES,
    ClientInfo,
    PublicationBody,
    encode,
)
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import MAX_READ
from gateway.settings.namespaces import ChannelOptions

MAX_KEY_BYTES: Final = 255
MAX_PAGE: Final = MAX_READ
MAX_VERSION: Final = (1 << 53) - 1  # what a script of Redis can compare
MAX_TOGETHER: Final = 1000  # publications of one call, and so many go in one pipeline
MAX_TOGETHER_BYTES: Final = 4 << 20  # of data and tags, counted for each channel


def history_options(options: ChannelOptions) -> HistoryOptions | None:
    """How much of a channel is kept; None: nothing."""
    if not options.has_history:
        return None
    return HistoryOptions(
        options.history_size,
        int(options.history_ttl.total_seconds()),
        int(options.history_meta_ttl.total_seconds()),
    )


def size_of(data: bytes, tags: Mapping[str, str]) -> int:
    """Of a publication, in bytes.

    Raises:
        PublicationTooLarge: It is over what one may be.
    """
    size = len(data) + sum(len(part.encode()) for tag in tags.items() for part in tag)
    if size > MAX_PUBLICATION_BYTES:
        raise PublicationTooLarge(size_bytes=size, limit_bytes=MAX_PUBLICATION_BYTES)
    return size


def check_together(count: int, size_bytes: int) -> None:
    """Whether so much may be published by one call.

    Raises:
        ValueError: It may not.
    """
    if count > MAX_TOGETHER:
        raise ValueError(f"{count} at once are over the limit of {MAX_TOGETHER}")
    if size_bytes > MAX_TOGETHER_BYTES:
        raise ValueError(
            f"{size_bytes} B, the data once for each channel, are over the limit of "
            f"{MAX_TOGETHER_BYTES} B at once"
        )


class Publisher:
    """Publishes to any channel, as its namespace says. Every call may raise:

    BadChannel: Nothing may be called that.
    UnknownChannel: Its namespace is not set up.
    BrokerUnavailable: Nobody can know.
    """

    def __init__(
        self,
        broker: ChannelBroker,
        options_of: Callable[[str], ChannelOptions],
        counters: Counters,
    ) -> None:
        self._broker = broker
        self._options_of = options_of
        self._counters = counters
        self._body: Callable[[bytes, ClientInfo | None, dict[str, str]], PublicationBody]
        self._body = PublicationBody

    def publish(
        self,
        channel: str,
        data: bytes,
        *,
        info: ClientInfo | None = None,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        version: int = 0,
        version_epoch: str = "",
        skip_history: bool = False,
    ) -> asyncio.Future[Stored]:
        """Publish, in the order of these calls. Cancelling takes nothing back.

        Args:
            data: One JSON value as ``centrifuge.replies.embeddable`` makes it, of at most
                ``MAX_PUBLICATION_BYTES`` with its tags.
            info: The client that publishes it, if one does.
            idempotency_key: See ``Publishing``. At most 255 bytes of UTF-8.
            version: See ``Publishing``.
            skip_history: Store nothing, though the namespace would.

        Raises:
            PublicationTooLarge: Nothing was published.
            ValueError: The key or the version cannot be; or there is a version and no history.
        """
        options = self._options_of(channel)
        history = None
        if options.history_size > 0 and not skip_history:
            history = history_options(options)
        if idempotency_key or version or version_epoch:
            _check(idempotency_key, version, version_epoch, kept=history is not None)
        size = len(data)
        told: dict[str, str] = {}
        if tags:
            told.update(tags)
            size += sum(len(part.encode()) for tag in told.items() for part in tag)
        if size > MAX_PUBLICATION_BYTES:
            raise PublicationTooLarge(size_bytes=size, limit_bytes=MAX_PUBLICATION_BYTES)
        self._counters.publications += 1
        body = encode(self._body(data, info, told))
        return self._broker.publish(
            Publishing(channel, body, history, idempotency_key, version, version_epoch)
        )

    def broadcast(
        self,
        channels: Sequence[str],
        data: bytes,
        *,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        version: int = 0,
        skip_history: bool = False,
    ) -> list[asyncio.Future[Stored]]:
        """Publish the same to each channel, in their order; all leave together.

        Returns:
            One for each channel. One that cannot be published to has failed, with BadChannel,
            UnknownChannel, or ValueError for a version where nothing is kept; the others have not.

        Raises:
            PublicationTooLarge: Nothing was published.
            TypeError: A channel is no text. Nothing was published.
            ValueError: The key or the version can be nowhere; there are over ``MAX_TOGETHER``
                channels, or the data is over ``MAX_TOGETHER_BYTES`` for all of them together.
        """
        for channel in channels:  # before any is published
            if not isinstance(channel, str):
                raise TypeError(f"a channel is {type(channel).__name__}, not str")
        _check(idempotency_key, version, "", kept=True)
        check_together(len(channels), len(channels) * size_of(data, tags or {}))
        loop = asyncio.get_running_loop()
        answers = []
        for channel in channels:
            try:
                answer = self.publish(
                    channel,
                    data,
                    tags=tags,
                    idempotency_key=idempotency_key,
                    version=version,
                    skip_history=skip_history,
                )
            except (BadChannel, UnknownChannel, ValueError) as error:
                answer = loop.create_future()
                answer.set_exception(error)
            answers.append(answer)
        return answers

    async def page(
        self,
        channel: str,
        *,
        limit: int,
        since: Position | None = None,
        reverse: bool = False,
    ) -> Page:
        """A part of the history (``ChannelBroker.page``): at most ``MAX_PAGE``, 0 for the top only.

        Raises:
            NotAvailable: The channel keeps none.
            UnrecoverablePosition: ``since`` is of another epoch.
            ValueError: The limit is below 0.
        """
        history = self._history(channel)
        if limit < 0:
            raise ValueError(f"limit={limit} is below 0")
        return await self._broker.page(
            channel, history, limit=min(limit, MAX_PAGE), since=since, reverse=reverse
        )

    async def remove_history(self, channel: str) -> None:
        """Forget the publications; offsets go on in the same epoch.

        Raises:
            NotAvailable: The channel keeps none.
        """
        self._history(channel)
        await self._broker.remove_history(channel)

    def _history(self, channel: str) -> HistoryOptions:
        history = history_options(self._options_of(channel))
        if history is None:
            raise NotAvailable(f"channel {channel} keeps no history")
        return history


def _check(key: str, version: int, version_epoch: str, *, kept: bool) -> None:
    for name, text in (("idempotency_key", key), ("version_epoch", version_epoch)):
        if (size := len(text.encode())) > MAX_KEY_BYTES:
            raise ValueError(f"{name} has {size} bytes, over the limit of {MAX_KEY_BYTES}")
    if not 0 <= version <= MAX_VERSION:
        raise ValueError(f"version={version} is not 0 to {MAX_VERSION}")
    if version and not kept:
        raise ValueError("a version needs history")
