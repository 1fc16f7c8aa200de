"""Redis dies, freezes and is cut off below channels: every gap is declared, and no socket closes.

Half of the subscribers are in channels whose history outlasts the fault, half in channels that keep
one publication. Positioned subscribers are told within 2 s of the return (close code 2500 of their
subscription), subscribe again and recover, or are told that they cannot. Clients that publish are
answered meanwhile: what they were told to be published is there, of the rest nobody knows. Who does
not know publishes again with the same idempotency key, until it is told: all of that is there once.
"""

from __future__ import annotations

import asyncio
import fnmatch
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support import keys
from tests.faults.channel_stand import LONG, SHORT, SUBSCRIBERS, serve
from tests.faults.conftest import Report
from tests.faults.test_redis_fails import flood
from tests.support.channel_crowd import ChannelCrowd, Subscriber
from tests.support.channel_ledger import NUMBERS, ChannelLedger
from tests.support.channel_publisher import ChannelPublisher
from tests.support.client_publisher import ClientPublisher
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.retrying_publisher import RetryingPublisher
from tests.support.stand import Stand
from tests.support.waiting import eventually

DECLARED_S = 2.0
ANSWERED_S = REDIS_DEADLINE_S + 1.0  # shorter than what Redis is frozen and cut off for
PER_SECOND = 5  # of the backend, to each channel
PUBLISHED = "long:0"  # by clients, besides the backend
RETRIED = "long:1"  # over HTTP
RETRYING = 9
INSUFFICIENT = 2500
INTERNAL = 100


@dataclass
class Scene:
    """Subscribers and publishing clients of two workers, a backend that asks them over HTTP, and
    one that publishes past them.
    """

    crowd: ChannelCrowd
    publisher: ChannelPublisher
    clients: Sequence[ClientPublisher]
    retrying: RetryingPublisher | None
    ledger: ChannelLedger

    @property
    def now(self) -> float:
        """Monotonic seconds."""
        return self.crowd.loop.time()

    async def declared_to(
        self, clients: Sequence[Subscriber], returned_at: float, since: float
    ) -> None:
        """Wait until all these were told of a gap; the last of them soon after the return."""
        told = partial(all_told, clients, since)
        await eventually(told, f"{len(clients)} declared gaps", 15)
        took_s = max(client.insufficient_at for client in clients) - returned_at
        print(f"the last of {len(clients)} was told after {took_s:.2f} s")
        assert took_s <= DECLARED_S

    async def heard_or_told(self, returned_at: float, since: float) -> None:
        """Wait until everybody was told of a gap, or has something published after the return."""
        heard = {
            client: {name: reading.place for name, reading in client.readings.items()}
            for client in self.crowd.clients
        }

        def knows(client: Subscriber) -> bool:
            told = client.insufficient_at > since
            return told or all(
                reading.place != heard[client][name] for name, reading in client.readings.items()
            )

        await eventually(lambda: all(map(knows, heard)), "publications, or gaps", 15)
        took_s = self.now - returned_at
        print(f"the last of {len(heard)} heard or was told after {took_s:.2f} s")
        assert took_s <= DECLARED_S

    async def end(self) -> ChannelLedger:
        """Stop publishing, which works again; what there is must come to everybody."""
        await asyncio.gather(*(client.works(ANSWERED_S) for client in self.clients))
        await asyncio.gather(*(client.stop(ANSWERED_S) for client in self.clients))
        if self.retrying is not None:
            await self.retrying.stop(ANSWERED_S)
        await self.publisher.stop()
        await self.crowd.caught_up()
        return self.ledger

    def assert_all_was_published(self) -> None:
        """What was tried until it was done; that none is there twice says the ledger."""
        assert self.retrying is not None
        sent, there = self.retrying.sent, set(self.ledger.serials[RETRIED].values())
        print(
            f"of {len(sent)} publications over HTTP {self.retrying.tried_again} tried again, "
            f"{self.retrying.suppressed} of them suppressed"
        )
        assert sent == self.retrying.acknowledged
        assert sent <= there

    def assert_clients_answered(self, *, outage: bool = True) -> None:
        """Each publication of a client, once and in time, and truly."""
        there = set(self.ledger.serials[PUBLISHED].values())
        for client in self.clients:
            print(
                f"of {client.sent} publications of a client {len(client.acknowledged)} "
                f"acknowledged, refused {dict(client.refused)}, after {client.slowest_s:.2f} s"
            )
            assert client.sent == len(client.acknowledged) + client.refused.total()
            assert client.acknowledged <= there
            assert set(client.refused) == ({INTERNAL} if outage else set())
            assert client.slowest_s <= ANSWERED_S


@asynccontextmanager
async def a_scene(stand: Stand, *, keeps_keys: bool = True) -> AsyncIterator[Scene]:
    """
    Args:
        keeps_keys: Redis remembers what it has done with an idempotency key.
    """
    long, short = list(LONG), list(SHORT)

    def channels_of(number: int) -> list[str]:
        return [(long if number // 2 % 2 else short)[number // 4 % 10]]  # each at each worker

    ports = [served.port for served in stand.served]
    async with AsyncExitStack() as stack:
        crowd = await stack.enter_async_context(
            ChannelCrowd(ports, SUBSCRIBERS, channels_of, recoverable=True)
        )
        publisher = await stack.enter_async_context(
            ChannelPublisher(stand.redis.url, LONG | SHORT, crowd.ledger, per_second=PER_SECOND)
        )
        publisher.start()
        clients = [
            await stack.enter_async_context(
                ClientPublisher(port, PUBLISHED, crowd.ledger, serial=nth * NUMBERS)
            )
            for nth, port in enumerate(ports, 1)
        ]
        retrying = None
        if keeps_keys:
            crowd.ledger.disordered.add(RETRYING)
            retrying = await stack.enter_async_context(
                RetryingPublisher(ports, RETRIED, crowd.ledger, serial=RETRYING * NUMBERS)
            )
        await asyncio.sleep(1)
        yield Scene(crowd, publisher, clients, retrying, crowd.ledger)


def all_told(clients: Sequence[Subscriber], since: float) -> bool:
    return all(client.insufficient_at > since for client in clients)


def assert_kept(ledger: ChannelLedger, errors: Collection[int] = ()) -> None:
    """Every promise was kept, and every socket."""
    assert not ledger.broken
    assert not ledger.closes
    assert ledger.errors.keys() <= set(errors)
    assert ledger.ends.keys() <= {INSUFFICIENT}


async def test_channels_lose_redis_which_comes_back_empty(stand: Stand, report: Report) -> None:
    """All are told, and begin with the new epoch.

    Red when ``Channels.on_resync`` asks for no look: with nothing published nobody is told.
    """
    for _ in range(2):
        await serve(stand)
    async with a_scene(stand, keeps_keys=False) as scene:
        await scene.publisher.stop()
        since = scene.now
        await asyncio.to_thread(stand.redis.kill)
        await asyncio.sleep(2)
        await asyncio.to_thread(stand.redis.start)
        returned_at = scene.now
        await scene.declared_to(scene.crowd.clients, returned_at, since)
        await scene.crowd.everybody()
        scene.publisher.start()
        await asyncio.sleep(1)
        ledger = await scene.end()

        report(ledger)
        assert_kept(ledger, errors={INTERNAL})
        scene.assert_clients_answered()
        assert ledger.not_recovered == SUBSCRIBERS
        assert not ledger.recovered


async def test_channels_have_a_frozen_redis_for_8_s(stand: Stand, report: Report) -> None:
    """What it executes when it wakes, before anybody has subscribed again, is a gap.

    Red when ``Channels.on_resync`` asks for no look: in a silent channel nobody is told.
    """
    for _ in range(2):
        await serve(stand)
    async with a_scene(stand) as scene:
        stand.redis.freeze()
        await asyncio.sleep(8)
        await scene.publisher.pause()  # what it had sent last is still to be executed
        stand.redis.thaw()
        returned_at = scene.now
        await asyncio.sleep(DECLARED_S + 1)
        scene.publisher.start()
        await asyncio.sleep(1)
        ledger = await scene.end()

        report(ledger)
        assert_kept(ledger, errors={INTERNAL})
        scene.assert_clients_answered()
        scene.assert_all_was_published()
        assert ledger.ended_at
        assert all(at - returned_at <= DECLARED_S for at in ledger.ended_at)


async def test_the_links_of_channels_are_cut_for_12_s(stand: Stand, report: Report) -> None:
    """What a backend publishes meanwhile is missing at both workers, and nothing tells of it but
    what they look up themselves once they are back. What was done before the cut and not answered
    is asked for again.

    Red when ``channel_publish`` keeps no answer for its key: that is there twice.
    """
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(Proxy(stand.redis.port)) for _ in range(2)]
        for link in links:
            await serve(stand, redis_url=link.url)
        async with a_scene(stand) as scene:
            for link in links:
                link.delay_s = 0.2  # so that several are under way
            await asyncio.sleep(1)
            for link in links:
                link.freeze_answers()
            await asyncio.sleep(0.5)
            since = scene.now
            for link in links:
                link.cut()
                link.thaw()
                link.delay_s = 0.0
            await asyncio.sleep(12)
            await scene.publisher.stop()  # no publication will tell them of the gap
            for link in links:
                link.mend()
            returned_at = scene.now
            await scene.declared_to(scene.crowd.clients, returned_at, since)
            scene.publisher.start()
            await asyncio.sleep(1)
            ledger = await scene.end()

            report(ledger)
            assert_kept(ledger, errors={INTERNAL})
            scene.assert_clients_answered()
            scene.assert_all_was_published()
            assert scene.retrying is not None
            assert scene.retrying.suppressed
            assert ledger.recovered == ledger.not_recovered == SUBSCRIBERS / 2


async def test_the_subscription_of_channels_is_killed_again_and_again(
    stand: Stand, report: Report
) -> None:
    """Whoever is in a channel has its publications again, or is told, soon after the last one.

    Red when ``ChannelPosition.arrived`` takes any later offset for the next one.
    """
    for _ in range(2):
        await serve(stand)
    async with a_scene(stand) as scene:
        rounds = 0
        while rounds < 10 or not scene.ledger.ends:  # a quick one may come back without a gap
            assert rounds < 40
            rounds += kill_subscriptions(stand.redis) == 2
            await asyncio.sleep(0.5)
        await eventually(lambda: len(subscriptions(stand.redis)) == 2, "both of them", 15)
        since = scene.now
        assert kill_subscriptions(stand.redis) == 2
        await eventually(lambda: len(subscriptions(stand.redis)) == 2, "the return", 15)
        await scene.heard_or_told(scene.now, since)
        ledger = await scene.end()

        report(ledger)
        assert_kept(ledger, errors={INTERNAL})
        scene.assert_clients_answered(outage=False)
        scene.assert_all_was_published()
        returned_at = since + DECLARED_S  # at the latest: or nobody had heard of anything
        assert all(at - returned_at <= DECLARED_S for at in ledger.ended_at)


async def test_channels_are_cut_off_by_an_output_buffer_limit(stand: Stand, report: Report) -> None:
    """A worker that is asleep for a while gets more than Redis wants to keep for it.

    Red when ``ChannelPosition.arrived`` takes any later offset for the next one.
    """
    served = [await serve(stand) for _ in range(2)]
    with stand.redis.client() as admin:
        admin.config_set("client-output-buffer-limit", "pubsub 65536 65536 1")
    async with a_scene(stand) as scene:
        asleep = stand.worker_of(served[0])
        theirs = scene.crowd.at(served[0].port)
        [worker] = [event["worker_id"] for event in served[0].events("worker starts")]
        before = subscriptions(stand.redis, worker)
        since = scene.now
        asleep.suspend()
        try:
            await asyncio.to_thread(flood, stand.redis, channel_key(stand.redis, "short:0"))
            await eventually(lambda: subscriptions(stand.redis, worker) != before, "the cut", 5)
            await asyncio.sleep(0.5)
        finally:
            asleep.resume()
        returned_at = scene.now
        await scene.declared_to(theirs, returned_at, since)
        await asyncio.sleep(1)
        ledger = await scene.end()

        report(ledger)
        assert_kept(ledger, errors={INTERNAL})
        scene.assert_clients_answered(outage=False)
        scene.assert_all_was_published()


def subscriptions(redis: RedisServer, worker: str = "*") -> set[str]:
    """The numbers of the connections on which workers hear of channels; of one, or all."""
    with redis.client() as admin:
        clients = admin.client_list(_type="pubsub")
    names = fnmatch.filter([c["name"] for c in clients], f"gateway.{worker}.channels.subscribe")
    return {str(c["id"]) for c in clients if c["name"] in names}


def kill_subscriptions(redis: RedisServer) -> int:
    """Those of channels, of all workers; how many there were."""
    victims = subscriptions(redis)
    with redis.client() as admin:
        for victim in victims:
            admin.client_kill_filter(_id=victim)
    return len(victims)


def channel_key(redis: RedisServer, channel: str) -> str:
    """What a channel is called in Redis."""
    with redis.client() as admin:
        [key] = admin.pubsub_channels(keys.channel_messages("gw", channel))
    return str(key.decode())
