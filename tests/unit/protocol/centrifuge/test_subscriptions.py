"""Channels of one connection."""

from __future__ import annotations

import pytest

from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.commands import Publish, SubRefresh, Subscribe, Unsubscribe
from gateway.protocol.centrifuge.refusals import Limits
from gateway.protocol.centrifuge.replies import (
    ConnectResult,
    Empty,
    SubRefreshResult,
    SubscribeResult,
)
from gateway.protocol.centrifuge.session import Session
from gateway.protocol.centrifuge.states import ChannelState
from gateway.protocol.centrifuge.steps import Ask, Write
from tests.unit.protocol.centrifuge.talking import asked, connected, ended, said, subscribed

SUBSCRIBE = '{"id":2,"subscribe":{"channel":"a"}}'
UNSUBSCRIBE = '{"id":3,"unsubscribe":{"channel":"a"}}'
SUB_REFRESH = '{"id":3,"sub_refresh":{"channel":"a","token":"t"}}'


def push(code: int, reason: str) -> dict[str, object]:
    return {"push": {"channel": "a", "unsubscribe": {"code": code, "reason": reason}}}


# Subscribing


def test_a_subscription_is_asked_and_answered() -> None:
    session = connected()

    assert asked(session.receive(SUBSCRIBE)) == [Subscribe("a")]
    assert session.channels == {"a": ChannelState.SUBSCRIBING}
    assert said(session.answer(2, SubscribeResult(epoch="e", offset=4), 100.0)) == [
        {"id": 2, "subscribe": {"epoch": "e", "offset": 4}}
    ]
    assert session.channels == {"a": ChannelState.SUBSCRIBED}


def test_a_subscription_that_is_refused_leaves_nothing() -> None:
    session = connected()
    session.receive(SUBSCRIBE)

    assert said(session.answer(2, codes.PERMISSION_DENIED, 100.0)) == [
        {"id": 2, "error": {"code": 103, "message": "permission denied"}}
    ]
    assert session.channels == {}


def test_a_second_subscription_is_refused() -> None:
    error = {"id": 2, "error": {"code": 105, "message": "already subscribed"}}
    assert said(subscribed().receive(SUBSCRIBE)) == [error]


def test_a_second_subscription_waits_for_the_first() -> None:
    session = connected()
    assert asked(session.receive(SUBSCRIBE + "\n" + SUBSCRIBE)) == [Subscribe("a")]

    steps = session.answer(2, codes.INTERNAL, 100.0)
    assert asked(steps) == [Subscribe("a")]  # the first came to nothing
    assert [message["id"] for message in said(steps)] == [2]


def test_there_are_128_channels_at_most() -> None:
    session = connected()
    for n in range(128):
        session.receive(f'{{"id":2,"subscribe":{{"channel":"c{n}"}}}}')
        session.answer(n + 2, SubscribeResult(), 100.0)

    assert said(session.receive(SUBSCRIBE)) == [
        {"id": 2, "error": {"code": 106, "message": "limit exceeded"}}
    ]
    assert ended(session.subscribe("b", SubscribeResult(), 100.0)) == 3505


def test_a_channel_that_is_about_to_be_counts() -> None:
    session = connected(limits=Limits(channels=1))
    session.receive('{"id":2,"subscribe":{"channel":"b"}}')

    assert said(session.receive(SUBSCRIBE))[0]["error"]["code"] == 106


# What waits


def test_what_follows_a_subscription_waits_for_it_and_other_channels_do_not() -> None:
    session = connected()
    publish = '{"id":3,"publish":{"channel":"%s","data":1}}'

    steps = session.receive("\n".join([SUBSCRIBE, publish % "a", publish % "b"]))
    assert [getattr(request, "channel", "") for request in asked(steps)] == ["a", "b"]
    steps = session.answer(2, SubscribeResult(), 100.0)
    assert isinstance(steps[0], Write)
    assert isinstance(steps[1], Ask)
    assert isinstance(steps[1].request, Publish)


def test_a_pair_of_both_in_one_frame_is_done_one_by_one() -> None:
    session = connected()
    assert asked(session.receive(f"{SUBSCRIBE}\n{UNSUBSCRIBE}\n{SUBSCRIBE}")) == [Subscribe("a")]

    assert asked(session.answer(2, SubscribeResult(), 100.0)) == [Unsubscribe("a")]
    assert asked(session.answer(3, Empty(), 100.0)) == [Subscribe("a")]
    assert session.channels == {"a": ChannelState.SUBSCRIBING}


# Unsubscribing


def test_unsubscribing_is_asked_and_answered() -> None:
    session = subscribed()

    assert asked(session.receive(UNSUBSCRIBE)) == [Unsubscribe("a")]
    assert session.channels == {"a": ChannelState.UNSUBSCRIBING}
    assert said(session.answer(3, Empty(), 100.0)) == [{"id": 3, "unsubscribe": {}}]
    assert session.channels == {}


def test_who_is_not_subscribed_unsubscribes_all_the_same() -> None:
    assert said(connected(frozenset()).receive(UNSUBSCRIBE)) == [{"id": 3, "unsubscribe": {}}]


def test_a_failure_to_unsubscribe_is_told_and_the_channel_is_gone() -> None:
    session = subscribed()
    session.receive(UNSUBSCRIBE)

    assert said(session.answer(3, codes.INTERNAL, 100.0))[0]["error"]["code"] == 100
    assert session.channels == {}


# Ended by the server


def test_the_server_unsubscribes() -> None:
    session = subscribed()

    steps = session.unsubscribe("a", codes.BY_SERVER)
    assert said(steps) == [push(2000, "server unsubscribe")]
    assert asked(steps) == [Unsubscribe("a")]
    assert session.answer(3, Empty(), 100.0) == []
    assert session.channels == {}


def test_the_server_unsubscribes_who_is_still_subscribing_after_the_reply() -> None:
    session = connected()
    session.receive(SUBSCRIBE + "\n" + UNSUBSCRIBE)

    assert session.unsubscribe("a", codes.BY_SERVER) == []
    steps = session.answer(2, SubscribeResult(), 100.0)
    assert said(steps) == [{"id": 2, "subscribe": {}}, push(2000, "server unsubscribe")]
    assert said(session.answer(3, Empty(), 100.0)) == [{"id": 3, "unsubscribe": {}}]


@pytest.mark.parametrize("before", ["", UNSUBSCRIBE])
def test_the_server_unsubscribes_once(before: str) -> None:
    session = subscribed() if before else connected()
    if before:
        session.receive(before)

    assert session.unsubscribe("a", codes.BY_SERVER) == []


def test_what_was_missed_is_recovered_by_a_new_subscription() -> None:
    assert said(subscribed().insufficient("a")) == [push(2500, "insufficient state")]


def test_nothing_is_missed_where_nobody_is_subscribed() -> None:
    assert connected().insufficient("a") == []


# Begun by the server


def by_server(ttl: int = 0) -> Session:
    session = connected()
    session.subscribe("a", SubscribeResult(recoverable=True, epoch="e", ttl=ttl), 100.0)
    return session


def test_the_server_subscribes() -> None:
    session = connected()

    assert said(session.subscribe("a", SubscribeResult(epoch="e"), 100.0)) == [
        {"push": {"channel": "a", "subscribe": {"epoch": "e"}}}
    ]
    assert session.channels == {"a": ChannelState.SUBSCRIBED}


def test_the_server_subscribes_once() -> None:
    session = by_server()

    assert session.subscribe("a", SubscribeResult(), 100.0) == []


def subscribed_meanwhile() -> Session:
    """By the server, while the client's own wish is not answered."""
    session = connected()
    session.receive(SUBSCRIBE)
    assert session.subscribe("a", SubscribeResult(epoch="e"), 100.0) == []
    return session


def test_who_is_refused_is_told_that_the_server_has_subscribed_it() -> None:
    session = subscribed_meanwhile()

    assert said(session.answer(2, codes.PERMISSION_DENIED, 100.0)) == [
        {"id": 2, "error": {"code": 103, "message": "permission denied"}},
        {"push": {"channel": "a", "subscribe": {"epoch": "e"}}},
    ]
    assert asked(session.receive(UNSUBSCRIBE)) == [Unsubscribe("a")]


def test_who_is_subscribed_by_itself_and_by_the_server_is_told_once() -> None:
    session = subscribed_meanwhile()

    assert said(session.answer(2, SubscribeResult(), 100.0)) == [{"id": 2, "subscribe": {}}]
    assert said(session.insufficient("a")) == [push(2500, "insufficient state")]


def test_of_what_the_server_has_begun_and_ended_meanwhile_nothing_is_said() -> None:
    session = subscribed_meanwhile()
    assert session.unsubscribe("a", codes.BY_SERVER) == []

    assert said(session.answer(2, codes.INTERNAL, 100.0))[1:] == []
    assert session.channels == {}


def test_what_the_server_has_ended_and_begun_again_meanwhile_stays() -> None:
    session = subscribed_meanwhile()
    session.unsubscribe("a", codes.BY_SERVER)
    session.subscribe("a", SubscribeResult(), 100.0)

    assert said(session.answer(2, SubscribeResult(), 100.0)) == [{"id": 2, "subscribe": {}}]


def test_a_gap_in_what_the_server_has_begun_meanwhile_needs_a_new_connection() -> None:
    assert ended(subscribed_meanwhile().insufficient("a")) == 3010


def test_a_client_recovers_what_the_server_subscribed_by_a_new_connection() -> None:
    assert ended(by_server().insufficient("a")) == 3010


def test_a_client_may_leave_what_the_server_subscribed() -> None:
    session = by_server()
    session.receive(UNSUBSCRIBE)

    assert said(session.answer(2, Empty(), 100.0)) == [{"id": 3, "unsubscribe": {}}]


# Expiry


def test_a_subscription_that_is_not_refreshed_ends_25_s_after_its_time() -> None:
    session = connected()
    session.receive(SUBSCRIBE)
    told = said(session.answer(2, SubscribeResult(ttl=9), 90.0))
    assert told == [{"id": 2, "subscribe": {"expires": True, "ttl": 9}}]

    assert session.due_at == 124.0
    assert session.tick(123.9) == []
    steps = session.tick(124.0)
    assert said(steps) == [push(2501, "subscription expired")]
    assert asked(steps) == [Unsubscribe("a")]
    assert session.due_at == 125.0  # the ping: it ends once


def test_a_subscription_that_is_left_expires_no_more() -> None:
    session = connected()
    session.receive(SUBSCRIBE)
    session.answer(2, SubscribeResult(ttl=9), 90.0)

    session.receive(UNSUBSCRIBE)
    assert session.due_at == 125.0  # the ping
    assert session.tick(124.5) == []


def test_what_the_server_subscribed_ends_the_connection_with_its_time() -> None:
    assert ended(by_server(ttl=9).tick(134.0)) == 3006


def test_a_connect_with_a_subscription_that_ends() -> None:
    session = connected(result=ConnectResult(subs={"a": SubscribeResult(ttl=9)}))

    assert ended(session.tick(134.0)) == 3006


def test_a_refresh_gives_a_subscription_more_time() -> None:
    session = subscribed(result=SubscribeResult(ttl=1))

    assert asked(session.receive(SUB_REFRESH)) == [SubRefresh("a", "t")]
    assert said(session.answer(3, SubRefreshResult(ttl=60), 100.0)) == [
        {"id": 3, "sub_refresh": {"expires": True, "ttl": 60}}
    ]
    session.tick(125.0)
    assert session.receive("{}") == []
    assert session.tick(126.0) == []


def test_a_refresh_needs_a_subscription() -> None:
    assert said(connected().receive(SUB_REFRESH)) == [
        {"id": 3, "error": {"code": 103, "message": "permission denied"}}
    ]


@pytest.mark.parametrize("answered", [False, True])
def test_a_refresh_may_come_too_late(answered: bool) -> None:
    """The subscription has ended while the token was looked at."""
    session = subscribed()
    session.receive(SUB_REFRESH)
    session.unsubscribe("a", codes.BY_SERVER)
    if answered:
        session.answer(4, Empty(), 100.0)

    assert said(session.answer(3, SubRefreshResult(ttl=1), 90.0)) == [
        {"id": 3, "sub_refresh": {"expires": True, "ttl": 1}}
    ]
    assert session.due_at == 125.0  # the ping


@pytest.mark.parametrize("ttl", [0, 60])
def test_what_an_application_lets_end_no_token_makes_last(ttl: int) -> None:
    session = subscribed()
    session.ends_at("a", 110.0)
    session.receive(SUB_REFRESH)
    session.answer(3, SubRefreshResult(ttl=ttl), 100.0)

    assert session.due_at <= 110.0
    assert push(2501, "subscription expired") in said(session.tick(110.0))


def test_what_a_token_lets_end_no_application_makes_last() -> None:
    session = connected()
    session.receive(SUBSCRIBE)
    session.answer(2, SubscribeResult(ttl=5), 100.0)
    session.ends_at("a", 1000.0)

    assert push(2501, "subscription expired") in said(session.tick(100.0 + 5 + 25))


# An end of which the client is not told before


def test_a_subscription_ends_when_it_was_let_in_until() -> None:
    session = subscribed()
    session.ends_at("a", 107.0)

    assert session.due_at == 107.0
    assert said(session.tick(106.9)) == []
    assert said(session.tick(107.0)) == [push(2501, "subscription expired")]
    assert session.channels == {"a": ChannelState.UNSUBSCRIBING}


def test_only_what_is_subscribed_can_end_by_itself() -> None:
    session = connected()
    session.receive(SUBSCRIBE)
    before = session.due_at

    session.ends_at("a", 101.0)
    session.ends_at("nowhere", 101.0)

    assert session.due_at == before
