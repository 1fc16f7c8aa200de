"""The channels of one worker: what subscribers are told, and what is asked of the broker."""

from __future__ import annotations

import pytest

from gateway.channels.subscriber import Encoding
from gateway.errors import (
    BadChannel,
    BrokerUnavailable,
    ChannelLimit,
    UnknownChannel,
    WorkerChannelLimit,
)
from gateway.protocol.channel_messages import ClientInfo, MessageKind, encode, message
from gateway.protocol.channel_names import MAX_CHANNELS_PER_CONNECTION
from gateway.protocol.channel_position import Position
from gateway.protocol.channel_steps import Reply, Wish
from gateway.protocol.ids import ConnectionId
from gateway.protocol.run import Run
from gateway.protocol.worker_channel import LINGER_S
from tests.support.logs import capture_logs
from tests.unit.channels.recording import POSITIONED, Recording, live, stand
from tests.unit.channels.scripted_broker import turn


async def test_a_subscriber_is_told_once_publications_will_arrive() -> None:
    async with stand() as s:
        ann = s.recording("ann")
        s.channels.subscribe(ann, "news")
        await turn()
        assert not ann.told

        await s.broker.settle_down()
        assert ann.told == [("subscribed", "news", None)]


async def test_who_wants_a_position_is_told_the_top_of_the_stream() -> None:
    async with stand() as s:
        s.broker.put("kept:a")
        ann = s.recording("ann")
        s.channels.subscribe(ann, "kept:a", POSITIONED)
        await s.broker.settle_down()

        assert ann.told == [("subscribed", "kept:a", Position("epoch1", 1))]


async def test_nobody_has_a_position_where_nothing_is_kept() -> None:
    async with stand() as s:
        ann = s.recording("ann")
        s.channels.subscribe(ann, "news", Wish(positioned=True, since=Position("a", 7)))
        await s.broker.settle_down()

        assert ann.told == [("subscribed", "news", None)]


async def test_a_publication_is_encoded_once_an_encoding_and_given_to_everybody() -> None:
    async with stand() as s:
        some = [s.recording(f"text{n}") for n in range(3)]
        others = [s.recording(f"json{n}", Encoding.CENTRIFUGE_JSON) for n in range(3)]
        for subscriber in [*some, *others]:
            s.channels.subscribe(subscriber, "kept:a")
        await s.broker.settle_down()
        s.publisher.publish("kept:a", b'{"n":1}')
        await s.broker.settle_down()

        assert all(each.delivered == [b'kept:a 1 {"n":1}'] for each in [*some, *others])
        assert len({id(each.delivered[0]) for each in some}) == 1
        assert s.counters.deliveries == 6
        assert s.counters.publications == 1


async def test_who_has_left_is_told_so_and_gets_nothing_more() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news")
        bob = await live(s, "bob", "news")
        s.publisher.publish("news", b"1")
        s.channels.unsubscribe(ann.id, "news")
        s.channels.unsubscribe(ann.id, "news")
        await s.broker.settle_down()

        assert ann.told == [("left", "news")]
        assert not ann.delivered
        assert bob.delivered == [b"news 0 1"]
        assert not s.channels.channels_of(ann.id)


async def test_subscribing_again_is_nothing() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news")
        s.channels.subscribe(s.recording("ann"), "news")
        await s.broker.settle_down()

        assert not ann.told
        assert s.channels.subscriptions == 1
        assert s.channels.subscriber(ann.id, "news") is ann


async def test_the_subscription_is_given_back_a_second_after_the_last_has_left() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news")
        s.channels.closed(ann.id)
        await s.broker.settle_down()
        s.later(LINGER_S - 0.01)
        await s.broker.settle_down()
        assert s.broker.subscribed == {"news"}

        s.later(0.01)
        await s.broker.settle_down()
        assert not s.broker.subscribed
        assert not len(s.channels)


async def test_who_comes_back_within_the_second_finds_it_as_it_was() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news")
        s.channels.closed(ann.id)
        s.channels.subscribe(s.recording("bob"), "news")
        s.later(LINGER_S)
        await s.broker.settle_down()

        assert s.broker.subscribed == {"news"}
        assert s.channels.subscribers_of("news") == 1


async def test_nothing_is_left_of_thousands_that_have_closed() -> None:
    async with stand() as s:
        for number in range(3000):
            for channel in ("news", f"kept:{number % 50}"):
                s.channels.subscribe(s.recording(f"c{number}"), channel, POSITIONED)
        await s.broker.settle_down()
        assert s.channels.subscriptions == 6000
        for number in range(3000):
            s.channels.closed(ConnectionId(f"c{number}"))
        s.later(LINGER_S)
        await s.broker.settle_down()

        assert s.channels.subscriptions == 0
        assert not len(s.channels)
        assert not s.channels._of_connection
        assert not s.channels._steps._lingering
        assert not s.channels._steps._looks._planned


async def test_who_asks_to_leave_before_its_wish_is_taken_in_leaves_nothing_behind() -> None:
    async with stand() as s:
        bob = s.recording("bob")

        class Restless(Recording):
            """Brings somebody who thinks better of it at once."""

            def subscribed(self, channel: str, reply: Reply) -> None:
                s.channels.subscribe(bob, channel)
                s.channels.unsubscribe(bob.id, channel)

        s.channels.subscribe(Restless(ConnectionId("ann")), "news")
        await s.broker.settle_down()
        s.channels.closed(ConnectionId("ann"))
        s.later(LINGER_S)

        assert s.channels.subscriber(bob.id, "news") is None
        assert not len(s.channels)


async def test_names_are_checked() -> None:
    async with stand() as s:
        with pytest.raises(UnknownChannel):
            s.channels.subscribe(s.recording("ann"), "nothing:there")
        with pytest.raises(BadChannel):
            s.channels.subscribe(s.recording("ann"), "a\n")
        assert not len(s.channels)


async def test_a_connection_has_so_many_channels_and_no_more() -> None:
    async with stand() as s:
        ann = s.recording("ann")
        for number in range(MAX_CHANNELS_PER_CONNECTION):
            s.channels.subscribe(ann, f"n{number}")
        await s.broker.settle_down()
        assert len(ann.told) == MAX_CHANNELS_PER_CONNECTION
        s.channels.subscribe(ann, "one more")

        assert ann.told[-1] == ("not subscribed", "one more", ChannelLimit)
        assert len(s.channels.channels_of(ann.id)) == MAX_CHANNELS_PER_CONNECTION


async def test_a_worker_has_so_many_channels_and_no_more() -> None:
    async with stand(max_channels=2) as s:
        ann, bob = s.recording("ann"), s.recording("bob")
        s.channels.subscribe(ann, "a")
        s.channels.subscribe(ann, "b")
        s.channels.subscribe(bob, "c")
        assert bob.told == [("not subscribed", "c", WorkerChannelLimit)]
        assert s.counters.channels_refused == 1

        s.channels.subscribe(bob, "a")  # that is no other channel
        s.channels.unsubscribe(ann.id, "b")
        await s.broker.settle_down()
        s.later(LINGER_S)
        s.channels.subscribe(bob, "c")
        await s.broker.settle_down()
        assert s.channels.is_live(bob.id, "c")


async def test_who_waits_is_told_that_the_broker_is_away_and_may_come_again() -> None:
    async with stand() as s:
        ann = s.recording("ann")
        s.channels.subscribe(ann, "kept:a", POSITIONED)
        await turn()
        s.broker.serve()
        s.broker.deliver()
        await turn()
        assert s.broker.fail_read()
        await turn()
        assert ann.told == [("not subscribed", "kept:a", BrokerUnavailable)]
        assert not s.channels.subscriptions

        s.channels.subscribe(ann, "kept:a", POSITIONED)
        await s.broker.settle_down()
        assert s.channels.is_live(ann.id, "kept:a")


# Recovery


async def test_what_was_missed_comes_with_the_reply_and_is_counted() -> None:
    async with stand() as s:
        s.broker.put("kept:a")
        s.broker.put("kept:a")
        replies: list[Reply] = []
        ann = s.recording("ann")
        ann.subscribed = lambda channel, reply: replies.append(reply)  # type: ignore[method-assign]
        wish = Wish(positioned=True, since=Position("epoch1", 1))
        s.channels.subscribe(ann, "kept:a", wish)
        await s.broker.settle_down()
        bob = s.recording("bob")
        s.channels.subscribe(bob, "kept:a", Wish(positioned=True, since=Position("other", 1)))
        await s.broker.settle_down()

        assert [publication.offset for publication in replies[0].publications] == [2]
        assert s.counters.recoveries == {"recovered": 1, "not_recovered": 1}


# Joins and leaves


async def test_joins_are_told_to_those_alone_who_asked_and_are_live() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "kept:a", join_leave=True)
        bob = await live(s, "bob", "kept:a")
        cat = s.recording("cat")
        s.channels.subscribe(cat, "kept:a", POSITIONED, join_leave=True)
        s.channels.subscribe(s.recording("dan"), "news")
        for kind in (MessageKind.JOIN, MessageKind.LEAVE):
            s.broker.tell("kept:a", message(kind, encode(ClientInfo("u", "eve"))))
        await s.broker.settle_down()

        assert ann.delivered == [b"kept:a JOIN eve", b"kept:a LEAVE eve"]
        assert not bob.delivered


async def test_what_cannot_be_read_is_counted_and_ends_nothing() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news", join_leave=True)
        s.channels.on_messages(
            [("news", b"\xff"), ("news", b"p0::\xff"), ("news", b"j0::\x01"), ("nobody", b"")]
        )
        s.publisher.publish("news", b"1")
        await s.broker.settle_down()

        assert ann.delivered == [b"news 0 1"]
        assert s.counters.unreadable == 3


async def test_a_worker_that_is_full_of_channels_says_so_once_a_minute() -> None:
    async with stand(max_channels=1) as s:
        s.channels.subscribe(s.recording("ann"), "a")
        with capture_logs() as logs:
            for number in range(3):
                s.channels.subscribe(s.recording("bob"), f"b{number}")
            s.later(60.0)
            s.channels.subscribe(s.recording("bob"), "c")

    assert [(line["event"], line["channel"], line["refused"]) for line in logs] == [
        ("worker has too many channels", "b0", 1),
        ("worker has too many channels", "c", 3),
    ]


async def test_what_cannot_be_read_is_logged_with_its_channel_now_and_then() -> None:
    garbage = [("news", b"\xff"), ("news", b"p0::\xff"), ("news", b"j0::\x01")]
    async with stand() as s:
        await live(s, "ann", "news", join_leave=True)
        with capture_logs() as logs:
            s.channels.on_messages(garbage)
            s.later(10.0)
            s.channels.on_messages(garbage)

    told = [(line["channel"], line["messages"]) for line in logs]
    assert [line["event"] for line in logs] == ["channel message unreadable"] * 2
    assert told == [("news", 1), ("news", 3)]


# What a subscriber asks for while it is told something


async def test_who_is_told_of_a_gap_may_subscribe_again_at_once() -> None:
    async with stand() as s:
        ann = s.recording("ann")
        again = s.recording("ann")
        ann.insufficient = lambda channel: s.channels.subscribe(  # type: ignore[method-assign]
            again, channel, POSITIONED
        )
        s.channels.subscribe(ann, "kept:a", POSITIONED)
        await s.broker.settle_down()
        s.broker.lose()
        s.broker.put("kept:a")
        s.broker.restore()
        await s.broker.settle_down()

        assert again.told == [("subscribed", "kept:a", Position("epoch1", 1))]
        assert s.channels.subscriptions == 1


async def test_who_leaves_while_another_is_given_a_publication_is_given_none() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news")
        bob = await live(s, "bob", "news")
        cat = await live(s, "cat", "news")
        still_live: list[bool] = []

        def deliver(run: Run) -> None:
            s.channels.closed(bob.id)
            still_live.append(s.channels.is_live(bob.id, "news"))

        ann.deliver = deliver  # type: ignore[method-assign]
        s.publisher.publish("news", b"1")
        await s.broker.settle_down()

        assert not bob.delivered
        assert bob.told == [("left", "news")]
        assert still_live == [False]
        assert cat.delivered == [b"news 0 1"]
        assert s.channels.subscribers_of("news") == 2


async def test_who_comes_while_another_is_given_a_publication_is_live_after_it() -> None:
    async with stand() as s:
        ann = await live(s, "ann", "news")
        bob, cat = s.recording("bob"), await live(s, "cat", "news")
        ann.deliver = lambda run: s.channels.subscribe(bob, "news")  # type: ignore[method-assign]
        s.publisher.publish("news", b"1")
        s.publisher.publish("news", b"2")
        await s.broker.settle_down()

        assert cat.delivered == [b"news 0 1", b"news 0 2"]
        assert bob.delivered == [b"news 0 2"]
