"""What a worker needs of a broker, and what it may rely on.

Guarantees, proved on every implementation by ``tests/contract/test_broker.py``:

1. ``subscribe`` returns only once deliveries will arrive.
2. Deliveries of one publisher on one channel arrive in the order they were published. Some may be
   missing and some may come twice; only links make more of it.
3. ``publish`` returns how many subscribers each message reached. 1 proves nothing, nor does 0.
4. After a time in which deliveries may have been lost, and after the subscriptions stand again,
   the receiver is told with a ``Resync``: a gap is data, never silence.
5. ``run`` returns only by cancellation. It outlives every failure of the server.
6. A receiver that raises harms nobody: the delivery is counted as done.
7. ``connected`` is False as soon as a ``publish`` has failed for the loss of its connection, and
   True again once one may succeed.
8. What was published quietly is in order with all else. If it may be lost with the connection,
   ``losses`` has risen by the time ``connected`` is True again.
9. ``reach`` says within 5 s who is away, and that they are back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

# What is published: pieces that arrive as one, so that nobody copies what is long to join them.
Payload = bytes | tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Resync:
    """Deliveries on ``channels`` may have been lost during the last ``gap_s`` seconds."""

    channels: tuple[str, ...]
    gap_s: float


class Reach(NamedTuple):
    """Who of those that a worker needs is there, as it was seen last.

    Attributes:
        unlocated: Nobody says where to connect to: no Sentinel, or no node of a Cluster.
        sentinels_away: How many Sentinels do not answer.
        slots_uncovered: How many slots of a Cluster no master has.
        masters_away: Each master of a Cluster that has slots, and whether nothing can be published
            there.
        quorum_lost: The Sentinels that answer say that they could promote no replica.
    """

    unlocated: bool = False
    sentinels_away: int = 0
    slots_uncovered: int = 0
    masters_away: Mapping[str, bool] = {}
    quorum_lost: bool = False


class Receiver(Protocol):
    """Where deliveries go. Called on the event loop; must not block and must not raise."""

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        """What one read of the subscription brought: ``(channel, payload)``, in order."""
        ...

    def on_resync(self, resync: Resync) -> None: ...


class Publisher(Protocol):
    """What publishes in channels that live together: on one server."""

    @property
    def connected(self) -> bool:
        """False while ``publish`` would fail at once."""
        ...

    @property
    def losses(self) -> int:
        """How often the connection that publishes was lost."""
        ...

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        """Publish ``(channel, payload)`` pairs in order, in one round trip.

        Returns:
            How many subscribers each reached, to be awaited or called back. Cancelling it changes
            nothing.

        Raises:
            BrokerUnavailable: None, some or all were published.
        """
        ...

    def publish_quietly(self, channel: str, payload: bytes) -> bool:
        """Publish, and never be told of it: neither of receivers nor of a refusal.

        Returns:
            False: it cannot, and nothing was done.
        """
        ...


class Broker(Publisher, Protocol):
    """Pub/sub, at most once. One per worker."""

    async def run(self, receiver: Receiver) -> None:
        """Keep the connections up and feed ``receiver``, until cancelled."""
        ...

    def route(self, channel: str) -> Publisher:
        """What publishes in this channel now: whoever is away holds up only those of its own."""
        ...

    def when_rerouted(self, rerouted: Callable[[], None]) -> None:
        """Call ``rerouted`` when ``route`` may say something else. What was under way may be lost
        then, for channels that have another publisher.
        """
        ...

    async def subscribe(self, channel: str) -> None:
        """Add a channel. Waits, if need be until the server is back; cancelling leaves it added."""
        ...

    def publish_blocking(self, channel: str, payload: bytes, *, deadline_s: float) -> None:
        """Publish from another thread while the event loop is held, over a connection of its own.

        Raises:
            BrokerUnavailable: It was not published, or nobody can know.
        """
        ...

    def reach(self) -> Reach:
        """For people. What is there once more is so at once; what is away, with its deadline."""
        ...

    def where(self, key: str) -> str:
        """Who has this key or channel now, for people."""
        ...

    def resubscribe(self) -> None:
        """Drop the subscriptions and make them anew: nothing comes in, and it should."""
        ...
