"""What a worker shares with the others, and how it is reached: as the settings say."""

from __future__ import annotations

from typing import NamedTuple

from gateway import metrics
from gateway.broker.base import Broker
from gateway.broker.memory import MemoryBroker
from gateway.broker.redis_cluster import broker_at
from gateway.channel_broker.base import ChannelBroker
from gateway.channel_broker.memory import MemoryChannelBroker
from gateway.channel_broker.redis_cluster import channel_broker_at
from gateway.presence.base import PresenceStore
from gateway.presence.memory import MemoryPresenceStore
from gateway.presence.redis import RedisPresenceStore
from gateway.redis_support.url import parse
from gateway.registry.base import Registry
from gateway.registry.memory import MemoryRegistry
from gateway.registry.redis import RedisRegistry
from gateway.settings.config import Settings


class Stores(NamedTuple):
    """All of one worker, at one address: what one of them learns of Redis, all of them know."""

    broker: Broker
    registry: Registry
    channel_broker: ChannelBroker
    presence: PresenceStore


def stores_of(settings: Settings, *, name: str) -> Stores:
    """What these settings name: Redis, or the memory of this one process.

    Redis lists the connections of a worker under ``name`` (CLIENT LIST).
    """
    if not settings.redis_url:
        return Stores(
            MemoryBroker(), MemoryRegistry(), MemoryChannelBroker(), MemoryPresenceStore()
        )
    address = parse(settings.redis_url)
    address.node.count = metrics.count_redis_error
    prefix = settings.redis_prefix
    return Stores(
        broker_at(address, name=name),
        RedisRegistry(address, prefix=prefix, name=name),
        channel_broker_at(
            address, prefix=prefix, name=name, failed=metrics.count_publication_failed
        ),
        RedisPresenceStore(address, prefix=prefix, name=name),
    )
