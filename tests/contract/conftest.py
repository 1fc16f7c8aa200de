"""Every implementation of the registry and of the channel broker."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack

import pytest

from gateway.channel_broker.base import ChannelBroker
from gateway.channel_broker.memory import MemoryChannelBroker, MemoryChannelBus
from gateway.channel_broker.redis import RedisChannelBroker
from gateway.channel_broker.redis_cluster import channel_broker_at
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.redis_support.url import parse
from gateway.registry.base import Entry, Registry
from gateway.registry.memory import MemoryRegistry
from gateway.registry.redis import RedisRegistry
from tests.contract.addresses import EVERYWHERE, redis_url
from tests.contract.channel_brokers import Listener, Make, Running, running, until_connected
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async

INFO = WorkerInfo(edge=True, handler=True, host="here", pid=7, envelope_version=2)
SOON_S = 0.05
Connect = Callable[[RedisServer, str], RedisRegistry]
_prefixes = itertools.count()


@pytest.fixture(params=EVERYWHERE)
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[Registry]:
    async with AsyncExitStack() as stack:
        made: Registry
        if request.param == "memory":
            made = MemoryRegistry()
        else:
            address = parse(await redis_url(request.param, request, stack))
            made = RedisRegistry(address, prefix=f"registry{next(_prefixes)}")
        yield made
        await made.aclose()


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Make registries on Redis, by prefix. They are closed also when the test fails: uvloop hangs
    when it is to close with one of their connections open.
    """
    async with AsyncExitStack() as stack:

        def make(server: RedisServer, prefix: str) -> RedisRegistry:
            made = RedisRegistry(parse(server.url), prefix=prefix)
            stack.push_async_callback(made.aclose)
            return made

        yield make


def entry(n: int = 0) -> Entry:
    return Entry(f"user{n}", "192.0.2.1", "agent", "text", 1_700_000_000_000 + n)


async def ended(registry: Registry, worker: WorkerId) -> None:
    """Wait until the lease of this worker has ended."""

    async def over() -> bool:
        leases = await registry.look()
        return worker not in leases.workers or leases.workers[worker][0] < leases.now_ms

    await eventually_async(over, "the end of the lease")


async def claim(registry: Registry, worker: WorkerId) -> bool:
    """Claim ``worker`` as one who has just looked at its lease."""
    lease = (await registry.look()).workers.get(worker)
    return await registry.claim(worker, 0 if lease is None else lease[0])


@pytest.fixture(params=EVERYWHERE)
async def channel_brokers(request: pytest.FixtureRequest) -> AsyncIterator[Running]:
    """Makes running brokers of workers that share channels. They are connected."""
    async with AsyncExitStack() as stack:
        bus, prefix = MemoryChannelBus(), f"channels{next(_prefixes)}"
        in_memory = request.param == "memory"
        url = "" if in_memory else await redis_url(request.param, request, stack)

        async def make(receiver: Listener) -> ChannelBroker:
            broker: ChannelBroker = MemoryChannelBroker(bus)
            if not in_memory:
                broker = channel_broker_at(parse(url), prefix=prefix)
            await stack.enter_async_context(running(broker, receiver))
            await until_connected(broker)
            return broker

        yield make


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Makes brokers at a URL, running and connected."""
    async with AsyncExitStack() as stack:

        async def made(url: str, receiver: Listener) -> RedisChannelBroker:
            broker = RedisChannelBroker(parse(url), prefix="bad", name=f"worker{id(receiver)}")
            await stack.enter_async_context(running(broker, receiver))
            await until_connected(broker)
            return broker

        yield made
