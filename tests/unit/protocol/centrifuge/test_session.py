"""The connection: connecting, commands, bounds, the end."""

from __future__ import annotations

import json

import msgspec
import pytest

from gateway import close_codes
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.commands import (
    Connect,
    History,
    Publish,
    Request,
    Rpc,
    Send,
    Subscribe,
)
from gateway.protocol.centrifuge.refusals import Limits
from gateway.protocol.centrifuge.replies import (
    ConnectResult,
    Empty,
    HistoryResult,
    RpcResult,
    SubscribeResult,
)
from gateway.protocol.centrifuge.states import ChannelState, State
from gateway.protocol.centrifuge.steps import Ask, End, Write
from tests.unit.protocol.centrifuge.talking import asked, connected, ended, new, said

CONNECT = '{"id":1,"connect":{"token":"t"}}'
RPC = '{"id":2,"rpc":{"method":"m"}}'
HELLO = msgspec.Raw(b'"hello"')


# Connecting


def test_connect_is_asked_and_answered() -> None:
    session = new()

    assert asked(session.receive(CONNECT)) == [Connect(token="t")]
    assert session.answer(1, ConnectResult(data=HELLO), 100.0) == [
        Write(
            b'{"id":1,"connect":{"client":"c1","version":"1.0","data":"hello","ping":25,'
            b'"pong":true}}'
        )
    ]
    assert session.state is State.CONNECTED


@pytest.mark.parametrize("first", [RPC, '{"send":{}}', "{}", "", "nonsense"])
def test_nothing_comes_before_connect(first: str) -> None:
    assert ended(new().receive(first)) == 3501


def test_there_is_one_connect() -> None:
    session = new()
    session.receive(CONNECT)

    assert ended(session.receive(CONNECT)) == 3501
    assert ended(connected().receive(CONNECT)) == 3501


def test_what_comes_with_connect_waits_for_its_answer() -> None:
    session = new()

    steps = session.receive(CONNECT + "\n" + RPC + '\n{"id":3,"dance":{}}\n{"send":{}}')
    assert asked(steps) == [Connect(token="t")]
    steps = session.answer(1, ConnectResult(), 100.0)
    assert [message["id"] for message in said(steps)] == [1, 3]
    assert asked(steps) == [Rpc("m"), Send()]
    assert isinstance(steps[0], Write)  # nothing comes before the reply to connect


def test_an_error_for_connect_answers_what_came_with_it() -> None:
    session = new()
    session.receive(CONNECT + "\n" + RPC + '\n{"send":{}}')

    steps = session.answer(1, codes.TOKEN_EXPIRED, 100.0)
    error = {"code": 109, "message": "token expired"}
    assert said(steps) == [{"id": 1, "error": error}, {"id": 2, "error": error}]
    assert session.state is State.REFUSED


def test_after_an_error_for_connect_nothing_more_may_come() -> None:
    session = new()
    session.receive(CONNECT)
    session.answer(1, codes.TOKEN_EXPIRED, 100.0)

    assert ended(session.receive(RPC)) == 3501


def test_an_authenticator_may_close() -> None:
    session = new()
    session.receive(CONNECT + "\n" + RPC)

    assert session.answer(1, close_codes.INVALID_TOKEN, 100.0) == [
        End(close_codes.INVALID_TOKEN, "connect")
    ]


def test_what_waits_for_connect_may_end_it() -> None:
    session = new(frozenset({Rpc}))
    session.receive(CONNECT + '\n{"send":{}}\n' + RPC)

    steps = session.answer(1, ConnectResult(), 100.0)
    assert [message["id"] for message in said(steps)] == [1]
    assert steps[-1] == End(close_codes.NOT_AVAILABLE, "send")


def test_subscriptions_by_the_server_come_with_connect() -> None:
    session = new()
    session.receive(CONNECT)

    steps = session.answer(1, ConnectResult(subs={"a": SubscribeResult(offset=3, ttl=9)}), 100.0)
    assert said(steps)[0]["connect"]["subs"] == {"a": {"offset": 3}}
    assert session.channels == {"a": ChannelState.SUBSCRIBED}


@pytest.mark.parametrize(("number", "code"), [(128, None), (129, 3505)])
def test_the_server_subscribes_to_128_channels_at_most(number: int, code: int | None) -> None:
    session = new()
    session.receive(CONNECT)
    subs = {f"c{n}": SubscribeResult() for n in range(number)}

    assert ended(session.answer(1, ConnectResult(subs=subs), 100.0)) == code


# Commands


def test_replies_may_overtake_each_other() -> None:
    session = connected()
    session.receive('{"id":2,"rpc":{"method":"slow"}}\n{"id":3,"rpc":{"method":"fast"}}')

    assert said(session.answer(3, RpcResult(HELLO), 100.0)) == [{"id": 3, "rpc": {"data": "hello"}}]
    assert said(session.answer(2, codes.INTERNAL, 100.0)) == [
        {"id": 2, "error": {"code": 100, "message": "internal server error", "temporary": True}}
    ]


def test_an_answer_counts_once() -> None:
    session = connected()
    session.receive(RPC)

    assert session.answer(2, RpcResult(), 100.0)
    assert session.answer(2, RpcResult(), 100.0) == []
    assert session.answer(77, RpcResult(), 100.0) == []


def test_an_answer_may_close() -> None:
    session = connected()
    session.receive(RPC)

    assert session.answer(2, close_codes.EXPIRED, 100.0) == [End(close_codes.EXPIRED, "rpc")]


def test_send_has_no_reply() -> None:
    session = connected()

    assert asked(session.receive('{"send":{"data":"hello"}}')) == [Send(HELLO)]
    assert session.answer(2, Empty(), 100.0) == []


def test_a_message_that_nobody_takes_closes() -> None:
    assert ended(connected(frozenset()).receive('{"send":{}}')) == 3508


def test_what_is_not_there_is_refused_and_the_connection_stays() -> None:
    session = connected(frozenset())

    assert said(session.receive(RPC)) == [
        {"id": 2, "error": {"code": 108, "message": "not available"}}
    ]
    assert session.state is State.CONNECTED


def test_what_came_before_a_bad_request_is_done_and_nothing_after() -> None:
    session = connected(frozenset({Rpc}))

    steps = session.receive(RPC + '\n{"id":3,"dance":{}}\nnonsense\n' + RPC)
    assert asked(steps) == [Rpc("m")]
    assert [message["id"] for message in said(steps)] == [3]
    assert isinstance(steps[-1], End)


@pytest.mark.parametrize(
    ("asked_for", "given"), [(0, 0), (7, 7), (300, 300), (301, 300), (-1, 300)]
)
def test_history_has_300_publications_at_most(asked_for: int, given: int) -> None:
    session = connected()

    steps = session.receive(f'{{"id":2,"history":{{"channel":"a","limit":{asked_for}}}}}')
    assert asked(steps) == [History("a", limit=given)]
    assert said(session.answer(2, HistoryResult([], "e", 9), 100.0)) == [
        {"id": 2, "history": {"publications": [], "epoch": "e", "offset": 9}}
    ]


def test_replies_of_one_frame_share_frames() -> None:
    session = connected(frozenset())
    steps = session.receive("\n".join(f'{{"id":{n},"rpc":{{}}}}' for n in range(2, 22)))

    assert [len(said([step])) for step in steps] == [16, 4]


# Bounds


def test_a_session_is_full_with_256_unanswered_commands() -> None:
    session = connected()
    session.receive("\n".join([RPC] * 255))
    assert not session.full

    session.receive(RPC)
    assert session.full
    session.answer(2, RpcResult(), 100.0)
    assert not session.full


def test_a_session_is_full_with_256_kib_of_commands() -> None:
    session = connected(limits=Limits(in_flight_bytes=2 * len(RPC)))
    session.receive(RPC)
    assert not session.full

    session.receive(RPC)
    assert session.full
    session.answer(3, codes.INTERNAL, 100.0)
    assert not session.full


def test_what_waits_for_connect_counts() -> None:
    session = new(limits=Limits(in_flight=2))
    session.receive(CONNECT + "\n" + RPC)

    assert session.full
    session.answer(1, codes.INTERNAL, 100.0)
    assert not session.full


# The server


def test_the_server_sends_out_of_turn() -> None:
    assert said(connected().send(HELLO)) == [{"push": {"message": {"data": "hello"}}}]


def test_nothing_is_sent_out_of_turn_before_connect() -> None:
    session = new()

    assert session.send(HELLO) == []
    assert session.subscribe("a", SubscribeResult(), 100.0) == []
    assert session.unsubscribe("a", codes.BY_SERVER) == []
    assert session.insufficient("a") == []


# The end


def test_the_server_closes_once() -> None:
    session = connected()

    assert session.close(close_codes.DRAINED, "drain") == [End(close_codes.DRAINED, "drain")]
    assert session.close(close_codes.DRAINED, "drain") == []


def test_nothing_follows_the_end() -> None:
    session = connected()
    session.receive(RPC)
    session.close(close_codes.DRAINED, "drain")

    assert session.state is State.CLOSED
    assert session.due_at == float("inf")
    assert session.receive(RPC) == []
    assert session.answer(2, RpcResult(), 100.0) == []
    assert session.tick(1000.0) == []
    assert session.send(HELLO) == []
    assert session.subscribe("a", SubscribeResult(), 100.0) == []


def test_a_recorded_session_of_a_browser_reads_as_it_should() -> None:
    available: frozenset[type[Request]] = frozenset({Subscribe, Publish})
    session = new(available)

    def reply(text: str) -> list[Ask]:
        return [step for step in session.receive(text) if isinstance(step, Ask)]

    [connect] = reply('{"connect":{"name":"js"},"id":1}')
    session.answer(connect.ticket, ConnectResult(), 100.0)
    [subscribe] = reply(
        '{"subscribe":{"channel":"x","flag":1,"recover":true,"offset":1,"epoch":"wJBWhwRn"},"id":4}'
    )
    assert subscribe.request == Subscribe("x", flag=1, recover=True, offset=1, epoch="wJBWhwRn")
    [frame] = session.answer(
        subscribe.ticket,
        SubscribeResult(
            positioned=True, epoch="wJBWhwRn", offset=5, recoverable=True, was_recovering=True
        ),
        100.0,
    )
    assert isinstance(frame, Write)
    assert json.loads(frame.payload) == {
        "id": 4,
        "subscribe": {
            "positioned": True,
            "epoch": "wJBWhwRn",
            "offset": 5,
            "recoverable": True,
            "was_recovering": True,
        },
    }
