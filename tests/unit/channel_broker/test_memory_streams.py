"""The histories in memory against a list of everything that was ever published."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channel_broker.base import IDEMPOTENCY_S, HistoryOptions, Publishing
from gateway.channel_broker.memory_streams import SWEEP_S, MemoryStreams
from gateway.protocol.channel_position import Position

OPTIONS = HistoryOptions(size=3, ttl_s=10, meta_ttl_s=20)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def streams(clock: Clock) -> MemoryStreams:
    numbers = itertools.count(1)
    return MemoryStreams(clock, lambda: f"epoch{next(numbers)}")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from("ab")),
        st.tuples(st.just("read"), st.sampled_from("ab")),
        st.tuples(st.just("remove"), st.sampled_from("ab")),
        st.tuples(st.just("forget"), st.just("")),
        st.tuples(st.just("wait"), st.sampled_from([1.0, 9.0, 10.0, 19.0, 20.0, SWEEP_S])),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(STEPS)
def test_no_offset_of_an_epoch_is_given_twice_and_reads_have_the_newest(
    steps: list[tuple[str, str | float]],
) -> None:
    clock = Clock()
    found = streams(clock)
    ever: set[tuple[str, Position]] = set()
    kept: dict[str, list[tuple[int, bytes]]] = {"a": [], "b": []}
    top = {"a": 0, "b": 0}
    until = dict.fromkeys("ab", 0.0)
    meta_until = dict.fromkeys("ab", 0.0)
    for number, (what, argument) in enumerate(steps):
        channel, body = str(argument), b"%d" % number
        if channel in kept and meta_until[channel] <= clock.now:
            top[channel] = 0
            kept[channel].clear()
        if channel in kept and until[channel] <= clock.now:
            kept[channel].clear()
        match what:
            case "publish":
                position = found.store(Publishing(channel, body, OPTIONS)).position
                assert position is not None
                assert (channel, position) not in ever
                ever.add((channel, position))
                top[channel] += 1
                kept[channel] = [*kept[channel], (top[channel], body)][-OPTIONS.size :]
                until[channel] = clock.now + OPTIONS.ttl_s
                meta_until[channel] = clock.now + OPTIONS.meta_ttl_s
            case "read":
                history = found.read(channel, 0, OPTIONS)
                assert list(history.publications) == kept[channel]
                assert history.top.offset == top[channel]
                meta_until[channel] = clock.now + OPTIONS.meta_ttl_s
            case "remove":
                found.remove(channel)
                kept[channel].clear()
            case "forget":
                found.forget()
                kept, top = {"a": [], "b": []}, {"a": 0, "b": 0}
            case _:
                clock.now += float(argument)


def test_publications_and_epochs_end_with_their_ttls() -> None:
    clock = Clock()
    found = streams(clock)
    first = found.store(Publishing("a", b"1", OPTIONS)).position
    assert first is not None

    clock.now = 9.9
    assert len(found.read("a", 0, OPTIONS).publications) == 1
    clock.now = 10.0
    assert not found.read("a", 0, OPTIONS).publications
    clock.now = 29.9
    assert found.read("a", None, OPTIONS).top == first
    clock.now += 20.0
    assert found.read("a", None, OPTIONS).top == Position("epoch2", 0)


def test_an_answer_is_kept_for_its_time() -> None:
    clock = Clock()
    found = streams(clock)
    publishing = Publishing("a", b"", OPTIONS, idempotency_key="k")
    assert found.answer(publishing) is None
    stored = found.store(publishing)

    clock.now = IDEMPOTENCY_S - 0.1
    assert found.answer(publishing) == stored._replace(suppressed=True)
    clock.now = IDEMPOTENCY_S
    assert found.answer(publishing) is None


def test_what_nobody_asks_for_again_is_swept() -> None:
    clock = Clock()
    found = streams(clock)
    long = OPTIONS._replace(meta_ttl_s=10_000)
    found.store(Publishing("gone", b"", OPTIONS, idempotency_key="k"))
    found.store(Publishing("stays", b"", long))

    clock.now = IDEMPOTENCY_S + SWEEP_S
    found.store(Publishing("b", b"", OPTIONS))

    assert found._streams.keys() == {"stays", "b"}
    assert not found._streams["stays"].publications
    assert not found._answers
