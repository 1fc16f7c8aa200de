"""The link, driven over a channel that loses, repeats, delays and reorders."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.ids import WorkerId
from gateway.protocol.link import Link
from gateway.protocol.retransmit_timer import LONGEST_SILENCE_S
from tests.support.link_ends import A, B, Channel
from tests.support.previous_link import PreviousLink

STEP = st.one_of(
    st.tuples(st.just("send"), st.sampled_from([A, B])),
    st.tuples(st.just("deliver"), st.integers(0, 30)),
    st.tuples(st.just("repeat"), st.integers(0, 30)),
    st.tuples(st.just("lose"), st.integers(0, 30)),
    st.tuples(st.just("tick"), st.floats(0.0, 3.0)),
    st.tuples(st.just("resync"), st.sampled_from([A, B])),
    st.tuples(st.just("interrupted"), st.sampled_from([A, B])),
)


def play(channel: Channel, step: tuple[str, object]) -> None:
    match step:
        case ("send", str(me)):
            channel.send(WorkerId(me))
        case ("deliver", int(index)):
            channel.deliver(index)
        case ("repeat", int(index)):
            channel.deliver(index, keep=True)
        case ("lose", int(index)) if channel.wire:
            channel.wire.pop(index % len(channel.wire))
        case ("tick", float(seconds)):
            channel.tick(seconds)
        case ("resync", str(me)):
            channel.links[WorkerId(me)].ask(channel.now)
        case ("interrupted", str(me)):
            channel.links[WorkerId(me)].interrupted(channel.now)
        case ("restart", str(me)):
            channel.restart(WorkerId(me))
        case ("forget", str(me)):
            channel.forget(WorkerId(me))


MAKES = [(Link, Link), (Link, PreviousLink), (PreviousLink, Link)]


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("makes", MAKES)
@given(steps=st.lists(STEP, max_size=80))
@settings(max_examples=200, deadline=None)
def test_whatever_the_channel_does_each_batch_arrives_once_and_in_order(
    makes: tuple[type[Link], type[Link]], narrow: bool, steps: list[tuple[str, object]]
) -> None:
    with patch("gateway.protocol.send_buffer.FIRST_ROOM_BYTES", 5 if narrow else 1 << 20):
        channel = Channel(makes, narrow)
        for step in steps:
            play(channel, step)
            for me, peer in ((A, B), (B, A)):
                assert channel.got[me] == channel.sent[peer][: len(channel.got[me])]

        for _ in range(60 if narrow else 12):  # it heals: what is owed is settled in bounded time
            channel.tick(LONGEST_SILENCE_S)
            channel.drain()

    assert channel.got == {A: channel.sent[B], B: channel.sent[A]}
    assert all(end.out.kept_bytes == 0 for end in channel.links.values())


@given(st.lists(STEP, max_size=80))
@settings(max_examples=200, deadline=None)
def test_a_channel_that_keeps_the_order_and_loses_nothing_is_sent_nothing_twice(
    steps: list[tuple[str, object]],
) -> None:
    """However long it takes, and whatever acknowledgements are lost."""
    channel = Channel()
    for step in steps:
        match step:
            case ("deliver", _):
                channel.deliver(0)
            case ("repeat", _):
                pass
            case ("lose", _) if channel.wire and channel.wire[0][1].number == 0:
                channel.wire.pop(0)
            case ("lose", _):
                pass
            case _:
                play(channel, step)
    for _ in range(12):
        channel.tick(LONGEST_SILENCE_S)
        channel.drain()

    assert channel.got == {A: channel.sent[B], B: channel.sent[A]}
    assert [end.out.repeats for end in channel.links.values()] == [0, 0]


@given(
    st.lists(st.one_of(STEP, st.tuples(st.just("restart"), st.sampled_from([A, B]))), max_size=80)
)
@settings(max_examples=400, deadline=None)
def test_restarts_may_lose_but_never_repeat_or_reorder(steps: list[tuple[str, object]]) -> None:
    channel = Channel()
    for step in steps:
        play(channel, step)
    for _ in range(12):
        channel.tick(LONGEST_SILENCE_S)
        channel.drain()
    for me in (A, B):
        channel.send(me)
    for _ in range(12):
        channel.drain()
        channel.tick(LONGEST_SILENCE_S)

    for me, peer in ((A, B), (B, A)):
        places = [channel.sent[peer].index(body) for body in channel.got[me]]
        assert places == sorted(set(places))
        assert channel.got[me][-1] == channel.sent[peer][-1]


@given(
    st.lists(st.one_of(STEP, st.tuples(st.just("forget"), st.sampled_from([A, B]))), max_size=60)
)
@settings(max_examples=200, deadline=None)
def test_after_one_end_has_forgotten_the_other_they_can_speak(
    steps: list[tuple[str, object]],
) -> None:
    channel = Channel()
    for step in steps:
        play(channel, step)
    for _ in range(12):
        channel.tick(LONGEST_SILENCE_S)
        channel.drain()
    for me in (A, B):
        channel.send(me)
    for _ in range(24):
        channel.drain()
        channel.tick(LONGEST_SILENCE_S)
    for me in (A, B):  # what was spoken first may be lost with the link that was forgotten
        channel.send(me)
    for _ in range(12):
        channel.drain()
        channel.tick(LONGEST_SILENCE_S)

    for me, peer in ((A, B), (B, A)):
        assert channel.got[me][-1] == channel.sent[peer][-1]
    assert all(end.out.kept_bytes == 0 for end in channel.links.values())
