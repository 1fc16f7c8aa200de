"""Replies, pushes and frames, as SDKs read them."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.replies import (
    MESSAGES_PER_FRAME,
    ClientInfo,
    ConnectResult,
    Empty,
    HistoryResult,
    NotJson,
    PresenceResult,
    PresenceStatsResult,
    Publication,
    RefreshResult,
    Result,
    RpcResult,
    SubRefreshResult,
    SubscribeResult,
    embeddable,
    error_reply,
    frames,
    join_push,
    leave_push,
    message_push,
    publication_push,
    reply,
    subscribe_push,
    unsubscribe_push,
)

HELLO = msgspec.Raw(b'{"text":"hello"}')
ANNA = ClientInfo("anna", "c1", conn_info=HELLO)


@pytest.mark.parametrize(
    ("name", "result", "written"),
    [
        ("connect", ConnectResult(), b'{"id":3,"connect":{}}'),
        (
            "connect",
            ConnectResult(
                client="c",
                version="1",
                expires=True,
                ttl=9,
                data=HELLO,
                subs={"a": SubscribeResult(recoverable=True)},
                ping=25,
                pong=True,
            ),
            (
                b'{"id":3,"connect":{"client":"c","version":"1","expires":true,"ttl":9,'
                b'"data":{"text":"hello"},"subs":{"a":{"recoverable":true}},"ping":25,"pong":true}}'
            ),
        ),
        ("subscribe", SubscribeResult(), b'{"id":3,"subscribe":{}}'),
        (
            "subscribe",
            SubscribeResult(
                recoverable=True,
                epoch="e",
                publications=[Publication(HELLO, offset=2)],
                recovered=True,
                offset=1,
                positioned=True,
                was_recovering=True,
            ),
            (
                b'{"id":3,"subscribe":{"recoverable":true,"epoch":"e","publications":'
                b'[{"data":{"text":"hello"},"offset":2}],"recovered":true,"offset":1,'
                b'"positioned":true,"was_recovering":true}}'
            ),
        ),
        ("unsubscribe", Empty(), b'{"id":3,"unsubscribe":{}}'),
        ("publish", Empty(), b'{"id":3,"publish":{}}'),
        ("presence", PresenceResult({}), b'{"id":3,"presence":{"presence":{}}}'),
        (
            "presence",
            PresenceResult({"c2": ClientInfo("", "c2")}),
            b'{"id":3,"presence":{"presence":{"c2":{"user":"","client":"c2"}}}}',
        ),
        (
            "presence_stats",
            PresenceStatsResult(0, 0),
            b'{"id":3,"presence_stats":{"num_clients":0,"num_users":0}}',
        ),
        (
            "history",
            HistoryResult([], "", 0),
            b'{"id":3,"history":{"publications":[],"epoch":"","offset":0}}',
        ),
        ("rpc", RpcResult(), b'{"id":3,"rpc":{}}'),
        ("rpc", RpcResult(HELLO), b'{"id":3,"rpc":{"data":{"text":"hello"}}}'),
        (
            "refresh",
            RefreshResult(client="c", version="1", expires=True, ttl=9),
            b'{"id":3,"refresh":{"client":"c","version":"1","expires":true,"ttl":9}}',
        ),
        (
            "sub_refresh",
            SubRefreshResult(expires=True, ttl=9),
            b'{"id":3,"sub_refresh":{"expires":true,"ttl":9}}',
        ),
    ],
)
def test_results_leave_out_what_is_empty_and_sdks_do_not_need(
    name: str, result: Result, written: bytes
) -> None:
    assert reply(3, name, result) == written


def test_an_error_says_whether_it_is_temporary() -> None:
    assert error_reply(3, codes.NOT_AVAILABLE) == (
        b'{"id":3,"error":{"code":108,"message":"not available"}}'
    )
    assert error_reply(3, codes.TOO_MANY_REQUESTS) == (
        b'{"id":3,"error":{"code":111,"message":"too many requests","temporary":true}}'
    )


@pytest.mark.parametrize(
    ("push", "written"),
    [
        (
            publication_push("a", Publication(HELLO)),
            b'{"push":{"channel":"a","pub":{"data":{"text":"hello"}}}}',
        ),
        (
            publication_push(
                'a"b', Publication(HELLO, info=ANNA, offset=7, tags={"k": "v"}, time=5)
            ),
            (
                b'{"push":{"channel":"a\\"b","pub":{"data":{"text":"hello"},"info":{"user":"anna",'
                b'"client":"c1","conn_info":{"text":"hello"}},"offset":7,"tags":{"k":"v"},"time":5}}}'
            ),
        ),
        (
            join_push("a", ClientInfo("", "c1")),
            b'{"push":{"channel":"a","join":{"info":{"user":"","client":"c1"}}}}',
        ),
        (
            leave_push("a", ClientInfo("", "c1")),
            b'{"push":{"channel":"a","leave":{"info":{"user":"","client":"c1"}}}}',
        ),
        (
            unsubscribe_push("a", codes.INSUFFICIENT_STATE),
            b'{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}',
        ),
        (
            unsubscribe_push("a", codes.Unsubscribed(0, "")),
            b'{"push":{"channel":"a","unsubscribe":{"code":0,"reason":""}}}',
        ),
        (
            subscribe_push("a", SubscribeResult(recoverable=True, epoch="e", offset=4, ttl=9)),
            b'{"push":{"channel":"a","subscribe":{"recoverable":true,"epoch":"e","offset":4}}}',
        ),
        (message_push(HELLO), b'{"push":{"message":{"data":{"text":"hello"}}}}'),
    ],
)
def test_pushes(push: bytes, written: bytes) -> None:
    assert push == written


def test_an_embedded_value_keeps_its_bytes_but_for_newlines() -> None:
    assert bytes(embeddable(b' {"a" :\n [1.50,\r\n"\\n\xc3\xa9"]}\n')) == (
        b'{"a" : [1.50,\r"\\n\xc3\xa9"]}'
    )


def test_half_of_a_surrogate_pair_is_replaced_in_what_is_embedded() -> None:
    assert bytes(embeddable(rb'"\ud83d \ud83d\ude00"')) == rb'"\ufffd \ud83d\ude00"'


@pytest.mark.parametrize(
    "payload", [b"", b"hello", b"{} {}", b'"\xff"', b'"a\nb"', b"NaN", b"[" * 20_000]
)
def test_what_is_no_json_is_not_embedded(payload: bytes) -> None:
    with pytest.raises(NotJson):
        embeddable(payload)


@given(st.lists(st.integers(), max_size=40))
def test_frames_keep_the_order_and_hold_sixteen_at_most(numbers: list[int]) -> None:
    sent = list(frames([b"%d" % number for number in numbers]))

    parted = [frame.split(b"\n") for frame in sent]
    assert [int(number) for frame in parted for number in frame] == numbers
    assert all(len(frame) <= MESSAGES_PER_FRAME for frame in parted)
    assert len(sent) == -(-len(numbers) // MESSAGES_PER_FRAME)


@given(st.text(st.characters(codec="utf-8")), st.integers(0, 2**64 - 1))
def test_any_channel_and_offset_can_be_read_back(channel: str, offset: int) -> None:
    push = publication_push(channel, Publication(HELLO, offset=offset))

    told = json.loads(push)["push"]
    assert b"\n" not in push
    assert told["channel"] == channel
    assert told["pub"].get("offset", 0) == offset
