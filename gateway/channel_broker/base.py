"""What channels need of a broker, and what they may rely on.

Guarantees, proved on every implementation by ``tests/contract/test_channel_broker.py``:

1. ``subscribe`` is done only once messages will arrive.
2. All subscribers of a channel get its messages in one order, that of their offsets where they are
   stored: storing and publishing are one step. Some may be missing, and none comes twice but after
   a server that was asked twice; positions find both.
3. Offsets rise by 1 within an epoch, from 1. Another epoch begins when the stream was lost, when
   nothing was published or read for the meta ttl, and when another server has taken over, which
   may have lost the newest publications: no offset of one epoch is ever given to two publications,
   as far as a server can know.
4. After a time in which messages may have been lost, and once the subscriptions stand again, the
   receiver is told: a gap is data, never silence.
5. ``settle`` is done once every message that was published before it was called, and that this
   worker is still to get, has been handed to the receiver.
6. ``run`` returns only by cancellation. It outlives every failure of the server.

Its connections are its own: a channel that floods cuts off no inbox.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Hashable, Sequence
from typing import Final, NamedTuple, Protocol

from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import History, Publication

IDEMPOTENCY_S: Final = 300.0  # an answer is kept for its key


class HistoryOptions(NamedTuple):
    """How much of a channel is kept: the newest ``size``, for ``ttl_s`` after the newest.

    Epoch and offset are kept for ``meta_ttl_s`` after the channel was last published to or read.
    """

    size: int
    ttl_s: int
    meta_ttl_s: int


class Publishing(NamedTuple):
    """One publication to be.

    Attributes:
        body: A ``channel_messages.PublicationBody`` in its wire form.
        history: None: nothing is stored, and it has no offset.
        idempotency_key: With the same key and channel, nothing is published again for 300 s, and
            the answer is that of the first time.
        version: Above 0: nothing is published unless it is over the last one of this channel in
            the same ``version_epoch``. Needs history.
    """

    channel: str
    body: bytes
    history: HistoryOptions | None = None
    idempotency_key: str = ""
    version: int = 0
    version_epoch: str = ""


class Stored(NamedTuple):
    """What became of a publication.

    Attributes:
        position: Where it is stored; None where the channel keeps no history.
        suppressed: Nothing was published: the key or the version had come before.
    """

    position: Position | None
    suppressed: bool = False


class Page(NamedTuple):
    """A part of a channel's history; ``top`` is the newest position there is."""

    top: Position
    publications: Sequence[Publication]


class ChannelReceiver(Protocol):
    """Where messages go. Called on the event loop; must not block and must not raise."""

    def on_messages(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """What one read brought: the channel, and a message (``channel_messages.read``)."""
        ...

    def on_resync(self, channels: Collection[str]) -> None:
        """Messages of these may have been lost. They are subscribed again."""
        ...


class ChannelBroker(Protocol):
    """Channels of one worker. Names are checked before they get here."""

    async def run(self, receiver: ChannelReceiver) -> None:
        """Keep the connections up and feed ``receiver``, until cancelled."""
        ...

    async def run_publishing(self) -> None:
        """Keep up what publishes and reads, and subscribe to nothing, until cancelled."""
        ...

    @property
    def connected(self) -> bool:
        """False while ``publish`` would fail at once, in a Cluster whatever the channel is."""
        ...

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        """Ask for a channel's messages; done once they will arrive.

        Fails with BrokerUnavailable if that is not so within ``REDIS_DEADLINE_S``; then the channel
        is not subscribed. Cancelling changes nothing.
        """
        ...

    def unsubscribe(self, channel: str) -> None:
        """No message of it is handed out from here on. A later ``subscribe`` comes after it."""
        ...

    def settle(self, channel: str = "") -> asyncio.Future[None]:
        """See guarantee 5; of one channel where it is named.

        Fails with BrokerUnavailable; then a resync follows.
        """
        ...

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        """Store and publish, as one step. In the order of these calls, many in one round trip.

        Fails with BrokerUnavailable: nobody can know whether it was published. Cancelling changes
        nothing.
        """
        ...

    def tell(self, channel: str, message: bytes) -> asyncio.Future[Stored]:
        """Publish a join or a leave, behind what was published before. At most once.

        Fails as ``publish`` does, where anybody looks.
        """
        ...

    def read_at(self, channel: str) -> Hashable:
        """Whose reads wait for whose: of channels with another answer they do not."""
        ...

    async def read(self, channel: str, after: int | None, history: HistoryOptions) -> History:
        """The newest publications after this offset, at most ``recovery.MAX_READ``; and the top.

        None: only the top. A channel that has none yet is given an epoch, at offset 0.

        Raises:
            BrokerUnavailable: Nobody can know.
        """
        ...

    async def page(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        since: Position | None = None,
        reverse: bool = False,
    ) -> Page:
        """Up to ``limit`` publications after ``since``; in reverse before it, the newest first.

        Without ``since`` from the oldest, or from the newest. An empty epoch is any. With a limit
        of 0 only the top; never more than ``recovery.MAX_READ``.

        Raises:
            UnrecoverablePosition: ``since`` is of another epoch.
            BrokerUnavailable: Nobody can know.
        """
        ...

    async def remove_history(self, channel: str) -> None:
        """Forget the publications; offsets go on in the same epoch."""
        ...

    async def share_namespaces(self, said: str, *, starting: bool) -> None:
        """Let processes that are no workers know the options of channels, for an hour.

        What another worker has said stays, unless this one is ``starting``: the last to start
        knows best.

        Raises:
            BrokerUnavailable: Nobody can know whether it is there.
        """
        ...

    async def shared_namespaces(self) -> str | None:
        """What was shared; None: nothing was, or it was forgotten.

        Raises:
            BrokerUnavailable: Nobody can know.
        """
        ...
