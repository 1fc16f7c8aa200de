"""The guarantees of ``gateway.channel_broker.base`` about messages, on every implementation."""

from __future__ import annotations

import asyncio

from gateway.channel_broker.base import Publishing
from gateway.protocol.channel_messages import MessageKind, message
from tests.contract.channel_brokers import KEPT, Listener, Running, channel, publish, said
from tests.support.waiting import eventually


async def test_subscribe_is_done_only_once_messages_will_arrive(channel_brokers: Running) -> None:
    listener = Listener()
    subscriber, publisher = await channel_brokers(listener), await channel_brokers(Listener())
    names = [channel() for _ in range(20)]

    for name in names:
        await subscriber.subscribe(name)
        await publisher.publish(Publishing(name, b"hi"))

    await eventually(lambda: len(listener.got) == 20, "20 messages")
    # Each channel has its own order: of a Cluster each may be at another master.
    assert sorted(name for name, _ in listener.got) == sorted(names)


async def test_without_history_a_message_has_no_place(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    broker = await channel_brokers(listener)
    await broker.subscribe(name)

    stored = await broker.publish(Publishing(name, b"\x00:p1:" + bytes(range(256))))

    assert stored == (None, False)
    await eventually(lambda: listener.got, "the message")
    kind, body = MessageKind.PUBLICATION, b"\x00:p1:" + bytes(range(256))
    assert listener.messages(name) == [(kind, "", 0, body)]


async def test_with_history_a_message_says_where_it_is_stored(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    broker = await channel_brokers(listener)
    await broker.subscribe(name)

    stored = await said(broker, name, 3)

    await eventually(lambda: len(listener.got) == 3, "3 messages")
    places = [(one.epoch, one.offset) for one in listener.messages(name)]
    assert places == [one.position for one in stored]
    assert [offset for _, offset in places] == [1, 2, 3]
    assert len({epoch for epoch, _ in places}) == 1
    assert len(places[0][0]) == 8


async def test_two_publishers_are_heard_in_the_order_of_offsets(channel_brokers: Running) -> None:
    one, two, name = Listener(), Listener(), channel()
    first, second = await channel_brokers(one), await channel_brokers(two)
    await asyncio.gather(first.subscribe(name), second.subscribe(name))

    for _ in range(10):
        await asyncio.gather(said(first, name, 30), said(second, name, 30))

    await eventually(lambda: len(one.got) == len(two.got) == 600, "600 messages each")
    assert one.got == two.got
    assert one.offsets(name) == list(range(1, 601))
    history = await first.read(name, 0, KEPT)
    kept = [(message.offset, message.body) for message in one.messages(name)[-100:]]
    assert list(history.publications) == kept


async def test_a_publisher_is_heard_in_the_order_of_its_calls(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    broker = await channel_brokers(listener)
    await broker.subscribe(name)
    published = []

    for n in range(0, 300, 3):
        published.append(broker.publish(Publishing(name, b"%d" % n, KEPT)))
        published.append(broker.publish(Publishing(name, b"%d" % (n + 1))))
        broker.tell(name, message(MessageKind.JOIN, b"%d" % (n + 2)))
        if n % 30 == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*published)

    await eventually(lambda: len(listener.got) == 300, "300 messages")
    assert [int(body) for body in listener.bodies(name)] == list(range(300))


async def test_joins_arrive_as_they_were_told(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    broker = await channel_brokers(listener)
    await broker.subscribe(name)

    broker.tell(name, message(MessageKind.JOIN, b"one"))
    broker.tell(name, message(MessageKind.LEAVE, b"one"))

    await eventually(lambda: len(listener.got) == 2, "2 messages")
    kinds = [(one.kind, one.body) for one in listener.messages(name)]
    assert kinds == [(MessageKind.JOIN, b"one"), (MessageKind.LEAVE, b"one")]


async def test_after_unsubscribe_no_message_is_handed_out(channel_brokers: Running) -> None:
    listener, name, other = Listener(), channel(), channel()
    broker = await channel_brokers(listener)
    await asyncio.gather(broker.subscribe(name), broker.subscribe(other))
    published = broker.publish(Publishing(name, b"too late"))

    broker.unsubscribe(name)
    await published
    await publish(broker, name)
    await publish(broker, other, b"heard")

    await eventually(lambda: listener.bodies(other) == [b"heard"], "the message of the other")
    assert not listener.messages(name)


async def test_a_storm_of_subscribe_and_unsubscribe_ends_as_it_was_last_asked(
    channel_brokers: Running,
) -> None:
    listener, name = Listener(), channel()
    broker = await channel_brokers(listener)
    for n in range(200):
        subscribed = broker.subscribe(name)
        if n % 3 == 0:
            await asyncio.sleep(0)
        if n % 7 == 0:
            await subscribed
        else:
            subscribed.add_done_callback(asyncio.Future.exception)
        broker.unsubscribe(name)
        if n % 5 == 0:
            await asyncio.sleep(0)

    await broker.subscribe(name)
    listener.got.clear()
    await publish(broker, name, b"heard")
    await eventually(lambda: listener.bodies(name) == [b"heard"], "the message")

    broker.unsubscribe(name)
    await publish(broker, name, b"not heard")
    await broker.settle()
    assert listener.bodies(name) == [b"heard"]


async def test_settle_is_behind_whatever_was_published_before(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    subscriber, publisher = await channel_brokers(listener), await channel_brokers(Listener())
    await subscriber.subscribe(name)

    for count in range(1, 31):
        stored = await publisher.publish(Publishing(name, b"", KEPT))
        assert stored.position is not None
        await subscriber.settle()
        assert listener.offsets(name)[-1] == stored.position.offset == count


async def test_many_settle_at_once(channel_brokers: Running) -> None:
    broker = await channel_brokers(Listener())
    for _ in range(3):
        await asyncio.gather(*[broker.settle() for _ in range(100)])
    await broker.subscribe(channel())
    await asyncio.gather(*[broker.settle() for _ in range(100)])


async def test_a_receiver_that_raises_keeps_getting_messages(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    listener.raising = True
    broker = await channel_brokers(listener)
    await broker.subscribe(name)

    for body in (b"1", b"2", b"3"):
        await publish(broker, name, body)
        await eventually(lambda: listener.got, "the message")
        assert listener.bodies(name) == [body]
        listener.got.clear()


async def test_cancelling_an_answer_changes_nothing(channel_brokers: Running) -> None:
    listener, name = Listener(), channel()
    broker = await channel_brokers(listener)
    broker.subscribe(name).cancel()
    await broker.subscribe(name)

    broker.publish(Publishing(name, b"1", KEPT)).cancel()
    await publish(broker, name, b"2")

    await eventually(lambda: listener.bodies(name) == [b"1", b"2"], "both messages")


async def test_namespaces_that_are_shared_stay_until_a_worker_starts(
    channel_brokers: Running,
) -> None:
    broker = await channel_brokers(Listener())

    async def shared(said: str, *, starting: bool) -> str | None:
        await broker.share_namespaces(said, starting=starting)
        return await broker.shared_namespaces()

    assert await broker.shared_namespaces() is None
    assert await shared("first", starting=False) == "first"
    assert await shared("again", starting=False) == "first"
    assert await shared("anew ü", starting=True) == "anew ü"
