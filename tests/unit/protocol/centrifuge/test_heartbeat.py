"""Pings and pongs."""

from __future__ import annotations

from gateway.protocol.centrifuge.heartbeat import Beat, Heartbeat


def beating(first_share: float = 1.0) -> Heartbeat:
    return Heartbeat(ping_s=25, pong_s=8, first_share=first_share, now=100.0)


def pinged() -> Heartbeat:
    heartbeat = beating()
    assert heartbeat.beat(125.0, reading=True) is Beat.PING
    return heartbeat


def test_the_first_ping_comes_early_by_its_share() -> None:
    heartbeat = beating(first_share=0.5)

    assert heartbeat.due_at == 112.5
    assert heartbeat.beat(112.4, reading=True) is None
    assert heartbeat.beat(112.5, reading=True) is Beat.PING


def test_pings_keep_their_beat_when_they_are_late() -> None:
    heartbeat = beating()
    assert heartbeat.beat(126.0, reading=True) is Beat.PING
    heartbeat.pong()

    assert heartbeat.due_at == 150.0


def test_pings_that_were_missed_are_not_made_up_for() -> None:
    heartbeat = beating()
    assert heartbeat.beat(300.0, reading=True) is Beat.PING
    heartbeat.pong()

    assert heartbeat.due_at == 325.0


def test_a_ping_without_a_pong_in_time_is_the_end() -> None:
    heartbeat = pinged()

    assert heartbeat.due_at == 133.0
    assert heartbeat.beat(132.9, reading=True) is None
    assert heartbeat.beat(133.0, reading=True) is Beat.NO_PONG


def test_a_pong_in_time_keeps_it_alive() -> None:
    heartbeat = pinged()

    assert heartbeat.pong()
    assert heartbeat.beat(133.0, reading=True) is None


def test_there_is_one_pong_for_a_ping() -> None:
    heartbeat = beating()
    assert not heartbeat.pong()

    heartbeat.beat(125.0, reading=True)
    assert heartbeat.pong()
    assert not heartbeat.pong()


def test_a_client_that_is_not_read_cannot_have_missed_its_pong() -> None:
    heartbeat = pinged()

    assert heartbeat.beat(133.0, reading=False) is None
    assert heartbeat.due_at == 141.0
    assert heartbeat.beat(141.0, reading=True) is Beat.NO_PONG


def test_a_client_that_is_read_again_gets_its_time_anew() -> None:
    heartbeat = pinged()

    heartbeat.reads_again(132.0)
    assert heartbeat.beat(133.0, reading=True) is None
    assert heartbeat.beat(140.0, reading=True) is Beat.NO_PONG


def test_each_ping_of_a_client_that_is_not_read_may_have_its_pong_later() -> None:
    heartbeat = pinged()
    assert heartbeat.beat(150.0, reading=False) is Beat.PING

    assert heartbeat.pong()
    assert heartbeat.pong()
    assert not heartbeat.pong()
