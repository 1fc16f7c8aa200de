"""What time does to a session: stale, pings, expiry."""

from __future__ import annotations

from gateway import close_codes
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.commands import Refresh
from gateway.protocol.centrifuge.refusals import Limits
from gateway.protocol.centrifuge.replies import ConnectResult, RefreshResult, RpcResult
from gateway.protocol.centrifuge.steps import End, Write
from tests.unit.protocol.centrifuge.talking import asked, connected, ended, new, said

CONNECT = '{"id":1,"connect":{"token":"t"}}'
RPC = '{"id":2,"rpc":{"method":"m"}}'


# Stale


def test_who_does_not_authenticate_in_time_is_stale() -> None:
    session = new()

    assert session.due_at == 110.0
    assert session.tick(109.9) == []
    assert ended(session.tick(110.0)) == 3502


def test_who_is_refused_and_stays_is_stale() -> None:
    session = new()
    session.receive(CONNECT)
    session.answer(1, codes.UNAUTHORIZED, 100.0)

    assert ended(session.tick(110.0)) == 3502


# Pings


def test_pings_begin_when_connected() -> None:
    session = connected()

    assert session.due_at == 125.0
    assert session.tick(124.9) == []
    assert session.tick(125.0) == [Write(b"{}")]
    assert session.due_at == 133.0
    assert session.receive("{}") == []
    assert session.due_at == 150.0


def test_a_client_without_a_pong_is_gone() -> None:
    session = connected()
    session.tick(125.0)

    assert session.tick(133.0) == [End(close_codes.NO_PONG, "no pong in time")]


def test_a_pong_needs_a_ping() -> None:
    assert ended(connected().receive("{}")) == 3501
    assert ended(new().receive(CONNECT + "\n{}")) == 3501


def test_a_full_session_waits_longer_for_its_pong() -> None:
    session = connected(limits=Limits(in_flight=1))
    session.receive(RPC)
    session.tick(125.0)

    assert session.tick(133.0) == []
    session.answer(2, RpcResult(), 140.9)
    assert session.tick(141.0) == []
    assert ended(session.tick(148.9)) == 3012


# Expiry


def test_a_client_is_told_when_it_expires_and_has_25_s_more() -> None:
    session = new()
    session.receive(CONNECT)

    told = said(session.answer(1, ConnectResult(ttl=10), 100.0))[0]["connect"]
    assert (told["expires"], told["ttl"]) == (True, 10)
    session.tick(125.0)
    session.receive("{}")
    assert session.due_at == 135.0
    assert session.tick(134.9) == []
    assert session.tick(135.0) == [End(close_codes.EXPIRED, "not refreshed in time")]


def test_a_refresh_gives_more_time() -> None:
    session = connected(result=ConnectResult(ttl=1))

    assert asked(session.receive('{"id":2,"refresh":{"token":"t"}}')) == [Refresh("t")]
    assert said(session.answer(2, RefreshResult(ttl=60), 101.0)) == [
        {
            "id": 2,
            "refresh": {"client": "c1", "version": "1.0", "expires": True, "ttl": 60},
        }
    ]
    assert session.tick(125.0) == [Write(b"{}")]
    assert ended(session.tick(186.0)) == 3005


def test_a_refresh_may_end_expiry() -> None:
    session = connected(result=ConnectResult(ttl=1))
    session.receive('{"id":2,"refresh":{"token":"t"}}')

    assert said(session.answer(2, RefreshResult(), 101.0)) == [
        {"id": 2, "refresh": {"client": "c1", "version": "1.0"}}
    ]
    assert session.tick(126.0) == [Write(b"{}")]


def test_a_refresh_that_fails_leaves_the_time_as_it_was() -> None:
    session = connected(result=ConnectResult(ttl=1))
    session.receive('{"id":2,"refresh":{"token":"t"}}')
    session.answer(2, codes.INTERNAL, 101.0)

    assert ended(session.tick(126.0)) == 3005


def test_a_refresh_needs_a_token() -> None:
    assert ended(connected().receive('{"id":2,"refresh":{}}')) == 3501


def test_nobody_is_told_more_than_a_year() -> None:
    session = new()
    session.receive(CONNECT)

    told = said(session.answer(1, ConnectResult(ttl=2**40), 100.0))[0]["connect"]
    assert told["ttl"] == 365 * 24 * 3600
