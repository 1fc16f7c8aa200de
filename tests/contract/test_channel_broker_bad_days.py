"""What only a server in another process can do to a channel broker."""

from __future__ import annotations

import asyncio
import time

import pytest

from gateway.channel_broker.base import Publishing
from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support import keys
from tests.contract.channel_brokers import (
    KEPT,
    Listener,
    Make,
    channel,
    no_offset_twice,
    publish,
    said,
    until_connected,
)
from tests.support.logs import capture_logs
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually


def kill_connections(server: RedisServer, ending: str) -> None:
    with server.client() as admin:
        for client in admin.client_list():
            if client["name"].endswith(ending):
                admin.client_kill_filter(_id=client["id"])


async def test_a_killed_subscription_is_told_and_made_anew(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name, other = Listener(), channel(), channel()
    broker = await make(own_redis.url, listener)
    await asyncio.gather(broker.subscribe(name), broker.subscribe(other))

    for count in range(1, 6):
        kill_connections(own_redis, ".channels.subscribe")
        await eventually(lambda count=count: len(listener.resyncs) == count, "a resync")  # type: ignore[misc]
        assert listener.resyncs[-1] == {name, other}
        await publish(broker, name, b"%d" % count)
        await broker.settle()
        assert listener.bodies(name)[-1] == b"%d" % count


async def test_what_was_given_back_while_deaf_is_not_told_of(
    make: Make, own_redis: RedisServer
) -> None:
    async with Proxy(own_redis.port) as proxy:
        listener, name, other = Listener(), channel(), channel()
        broker = await make(proxy.url, listener)
        await asyncio.gather(broker.subscribe(name), broker.subscribe(other))
        proxy.cut()
        await eventually(lambda: not broker.connected, "the loss")
        broker.unsubscribe(other)
        again = broker.subscribe(other)
        proxy.mend()

        await eventually(lambda: listener.resyncs, "a resync")
        await again
        assert listener.resyncs == [{name}]


async def test_a_subscriber_that_is_cut_off_for_its_buffer_is_told(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name = Listener(), channel()
    with own_redis.client() as admin:
        admin.config_set("client-output-buffer-limit", "pubsub 1mb 0 0")
        broker = await make(own_redis.url, listener)
        await broker.subscribe(name)
        before = await said(broker, name, 1)

        for _ in range(400):  # this holds the loop, which reads nothing
            admin.publish(keys.channel_messages("bad", name), b"p0::" + bytes(100_000))

    await eventually(lambda: listener.resyncs == [{name}], "a resync")
    assert (await broker.read(name, None, KEPT)).top == before[0].position
    await said(broker, name, 1)
    await eventually(lambda: listener.offsets(name)[-1] == 2, "the next message")


async def test_a_server_that_comes_back_empty_begins_another_epoch(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name = Listener(), channel()
    broker = await make(own_redis.url, listener)
    await broker.subscribe(name)
    first = (await said(broker, name, 5))[-1].position
    assert first is not None
    await broker.settle()

    own_redis.kill()
    with pytest.raises(BrokerUnavailable):
        await broker.publish(Publishing(name, b"", KEPT))
    assert not broker.connected
    with pytest.raises(BrokerUnavailable):
        await broker.read(name, 0, KEPT)
    with pytest.raises(BrokerUnavailable):
        await broker.settle()
    own_redis.start()

    stored = await publish(broker, name, b"another")
    assert stored.position is not None
    assert stored.position.epoch != first.epoch
    assert stored.position.offset == 1
    await eventually(lambda: listener.resyncs, "a resync")
    await said(broker, name, 5)
    await broker.settle()
    no_offset_twice(listener)


async def test_subscribing_in_an_outage_fails_in_time_and_works_later(
    make: Make, own_redis: RedisServer
) -> None:
    listener, name, pending = Listener(), channel(), channel()
    broker = await make(own_redis.url, listener)
    own_redis.kill()
    await eventually(lambda: not broker.connected, "the loss")

    asked_at = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="acknowledged"):
        await broker.subscribe(name)
    assert time.monotonic() - asked_at < REDIS_DEADLINE_S + 5.0
    subscribed = broker.subscribe(pending)
    own_redis.start()
    await subscribed
    await publish(broker, name, b"not subscribed")
    await publish(broker, pending, b"subscribed")
    await broker.settle()
    assert [name for name, _ in listener.got] == [pending]

    await broker.subscribe(name)
    await publish(broker, name, b"now")
    await broker.settle()
    assert listener.bodies(name) == [b"now"]
    assert not [told for told in listener.resyncs if name in told]


async def test_a_frozen_link_fails_what_waits_and_repeats_nothing(
    make: Make, own_redis: RedisServer
) -> None:
    async with Proxy(own_redis.port) as proxy:
        broker, name = await make(proxy.url, Listener()), channel()
        await said(broker, name, 1)
        proxy.freeze_answers()

        asked = [broker.publish(Publishing(name, b"in doubt", KEPT))]
        await asyncio.sleep(0)
        asked.append(broker.publish(Publishing(name, b"not sent", KEPT)))
        settled = broker.settle()
        outcomes = await asyncio.gather(*asked, settled, return_exceptions=True)

        assert all(isinstance(outcome, BrokerUnavailable) for outcome in outcomes)
        assert "nobody knows" in str(outcomes[0])
        assert "not published" in str(outcomes[1])
        proxy.thaw()
        await until_connected(broker)
        found = (await broker.read(name, 0, KEPT)).publications
        assert [one.payload for one in found] == [b"1", b"in doubt"]


async def test_a_thousand_channels_are_subscribed_again(make: Make, own_redis: RedisServer) -> None:
    listener, names = Listener(), [channel() for _ in range(2500)]
    broker = await make(own_redis.url, listener)
    await asyncio.gather(*[broker.subscribe(name) for name in names])
    with own_redis.client() as admin:
        before = admin.info("commandstats")["cmdstat_subscribe"]["calls"]
        assert before <= 4  # one for 1000
    kill_connections(own_redis, ".channels.subscribe")
    for name in names[1000:]:
        broker.unsubscribe(name)

    await eventually(lambda: listener.resyncs, "a resync")
    assert listener.resyncs == [set(names[:1000])]
    await asyncio.gather(*[publish(broker, name, b"hi") for name in names])
    await broker.settle()
    assert sorted(name for name, _ in listener.got) == sorted(names[:1000])
    with own_redis.client() as admin:
        assert len(admin.pubsub_channels()) == 1000


async def test_a_channel_that_is_denied_leaves_the_others_alone(
    make: Make, own_redis: RedisServer
) -> None:
    """By an ACL: they are heard meanwhile, also those of the same command, and that one once it is
    allowed. Red when it gives up the connection: of 560 messages in another channel 1 was heard.
    """
    names = [channel() for _ in range(4)]
    closed, *others = names
    granted = {name: f"&{keys.channel_messages('bad', name)}" for name in names}
    with own_redis.client() as admin:
        user = ("ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all", "resetchannels")
        admin.execute_command(*user, *(granted[name] for name in others))
        listener, publisher = Listener(), await make(own_redis.url, Listener())
        broker = await make(own_redis.url.replace("://", "://worker:secret@"), listener)
        with capture_logs() as logged:
            denied, *subscribed = [broker.subscribe(name) for name in names]
            await asyncio.gather(*subscribed)
            published = 0
            while not denied.done():
                published += 1
                await publisher.publish(Publishing(others[0], b"%d" % published))
                await asyncio.sleep(0.005)
        assert isinstance(denied.exception(), BrokerUnavailable)
        await broker.settle()
        assert len(listener.got) == published

        admin.execute_command(*user, *granted.values())
        await broker.subscribe(closed)
        await publisher.publish(Publishing(closed, b"hi"))
        await eventually(lambda: listener.bodies(closed) == [b"hi"], "what is allowed")

    refusals = [line for line in logged if line["event"] == "redis refuses"]
    assert [line["command"] for line in refusals] == [f"SUBSCRIBE {closed}"]
    assert listener.resyncs == []


async def test_a_channel_that_is_denied_meanwhile_is_told_once_it_is_allowed_again(
    make: Make, own_redis: RedisServer
) -> None:
    """Redis ends the connection of whom it has taken one from: the others are heard on the next."""
    closed, other = channel(), channel()
    granted = {name: f"&{keys.channel_messages('bad', name)}" for name in (closed, other)}
    with own_redis.client() as admin:
        user = ("ACL", "SETUSER", "worker", "on", ">secret", "~*", "+@all", "resetchannels")
        admin.execute_command(*user, *granted.values())
        listener, publisher = Listener(), await make(own_redis.url, Listener())
        broker = await make(own_redis.url.replace("://", "://worker:secret@"), listener)
        await asyncio.gather(broker.subscribe(closed), broker.subscribe(other))

        admin.execute_command(*user, granted[other])
        await eventually(lambda: listener.resyncs == [{other}], "a resync of the other")
        await publisher.publish(Publishing(other, b"hi"))
        await eventually(lambda: listener.bodies(other) == [b"hi"], "what is allowed")
        admin.execute_command(*user, *granted.values())
        await eventually(lambda: listener.resyncs == [{other}, {closed}], "a resync", 10.0)
        await publisher.publish(Publishing(closed, b"yo"))
        await eventually(lambda: listener.bodies(closed) == [b"yo"], "what is allowed again")
