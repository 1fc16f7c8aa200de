"""The broker on a Cluster: sharded pub/sub, with a connection that publishes to each master."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from gateway.broker.base import Broker, Payload, Publisher, Reach, Receiver, Resync
from gateway.broker.redis import RedisBroker
from gateway.broker.redis_publisher import RedisPublisher
from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import publish
from gateway.redis_support.cluster import Moved
from gateway.redis_support.cluster_subscriptions import ClusterSubscriptions
from gateway.redis_support.masters import Masters
from gateway.redis_support.slots import slot_of


def broker_at(address: RedisAddress, *, name: str = "gateway") -> Broker:
    """The broker on whatever is at this address."""
    broker = RedisBroker if address.cluster is None else ClusterBroker
    return broker(address, name=name)


class ClusterBroker:
    """``Broker`` on the masters of a Cluster: one that is away holds up only what lives on it."""

    def __init__(self, address: RedisAddress, *, name: str = "gateway") -> None:
        self._address = address
        self._rerouted: list[Callable[[], None]] = []
        self._publishers = Masters(
            address, lambda master: RedisPublisher(master, name=name), RedisPublisher.run
        )
        self._publishers.changed = self._reroute
        self._subscriptions = ClusterSubscriptions(address, name=f"{name}.subscribe")

    async def run(self, receiver: Receiver) -> None:
        def on_resync(channels: list[str], gap_s: float) -> None:
            receiver.on_resync(Resync(tuple(channels), gap_s))

        subscribing = self._subscriptions.run(receiver.on_deliveries, on_resync)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publishers.run(), name="broker publishers")
            tasks.create_task(subscribing, name="broker subscribers")
            tasks.create_task(self._publishers.cluster.watch(), name="cluster watched")

    @property
    def connected(self) -> bool:
        publishers = list(self._publishers)
        return bool(publishers) and all(one.connected for one in publishers)

    @property
    def losses(self) -> int:
        return sum(one.losses for one in self._publishers)

    def route(self, channel: str) -> Publisher:
        return self._publishers.of(channel) or _NOBODY

    def when_rerouted(self, rerouted: Callable[[], None]) -> None:
        self._rerouted.append(rerouted)

    async def subscribe(self, channel: str) -> None:
        await self._subscriptions.add(channel.encode(), channel)

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        """In order at each master."""
        parts: dict[Publisher, list[int]] = {}
        for number, (channel, _) in enumerate(messages):
            parts.setdefault(self.route(channel), []).append(number)
        if len(parts) == 1:
            [publisher] = parts
            return publisher.publish(messages)
        asked = [
            (numbers, publisher.publish([messages[number] for number in numbers]))
            for publisher, numbers in parts.items()
        ]
        return asyncio.ensure_future(_all_of(len(messages), asked))

    def publish_quietly(self, channel: str, payload: bytes) -> bool:
        return self.route(channel).publish_quietly(channel, payload)

    def publish_blocking(self, channel: str, payload: bytes, *, deadline_s: float) -> None:
        publish(self._address, channel, payload, deadline_s=deadline_s)

    def reach(self) -> Reach:
        cluster = self._publishers.cluster
        away = {
            f"{host}:{port}": (one := self._publishers.at((host, port))) is None
            or not one.connected
            for host, port in cluster.masters
        }
        return Reach(cluster.silent, 0, cluster.uncovered, away)

    def where(self, key: str) -> str:
        slot = slot_of(key)
        owner = self._publishers.cluster.owner(slot)
        return f"slot {slot} at " + ("no master" if owner is None else f"{owner[0]}:{owner[1]}")

    def resubscribe(self) -> None:
        self._publishers.cluster.doubt()
        self._subscriptions.drop()

    def _reroute(self, _: Moved) -> None:
        for rerouted in self._rerouted:
            rerouted()


async def _all_of(
    count: int, asked: Sequence[tuple[list[int], asyncio.Future[list[int]]]]
) -> list[int]:
    """What each master said, in the order of the messages. Raises what one of them failed with."""
    if asked:
        await asyncio.wait([published for _, published in asked])
    failed = [error for _, one in asked if (error := one.exception()) is not None]
    if failed:
        raise failed[0]
    reached = [0] * count
    for numbers, published in asked:
        for number, receivers in zip(numbers, published.result(), strict=True):
            reached[number] = receivers
    return reached


class _Nobody:
    """The publisher to a slot that no master is known to have."""

    @property
    def connected(self) -> bool:
        return False

    @property
    def losses(self) -> int:
        return 0

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:  # noqa: ARG002
        nowhere: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        nowhere.set_exception(BrokerUnavailable("no master of the Cluster is known to have it"))
        return nowhere

    def publish_quietly(self, channel: str, payload: bytes) -> bool:  # noqa: ARG002
        return False


_NOBODY = _Nobody()
