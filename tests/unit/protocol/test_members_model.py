"""Members under random views of the leases, and under a Redis that freezes."""

from __future__ import annotations

import itertools
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from gateway.protocol.members import Members

ME = WorkerId("m" * 16)
OTHERS = tuple(WorkerId(letter * 16) for letter in "abcd")
LEASE_S = 10.0
RENEWAL_S = 3.0
NOW_MS = 1_000_000

INFO = st.builds(WorkerInfo, edge=st.booleans(), handler=st.booleans(), leaving=st.booleans())
VIEW = st.builds(
    Leases,
    now_ms=st.just(NOW_MS),
    workers=st.dictionaries(
        st.sampled_from([ME, *OTHERS]),
        st.tuples(st.sampled_from([NOW_MS - 1, NOW_MS, NOW_MS + 1]), INFO),
    ),
    fenced=st.frozensets(st.sampled_from([ME, *OTHERS]), max_size=2),
)
PAUSE_S = st.sampled_from([0.5, 1.0, 3.0, 3.0, 3.0, 9.5, 10.0])
LATENCY_S = st.sampled_from([0.0, 0.0, 0.0, 0.5, 3.9, 4.0, 12.0])
STEP = st.one_of(
    st.tuples(st.just("renewed"), VIEW, PAUSE_S, LATENCY_S),
    st.tuples(st.just("missed")),
    st.tuples(st.just("leaving"), st.sampled_from([ME, *OTHERS])),
    st.tuples(st.just("gone"), st.sampled_from([ME, *OTHERS])),
)


class Trust:
    """The rule, in its plainest form: an unbroken run of good renewals that is a lease long."""

    def __init__(self, now: float) -> None:
        self._asked_at = now
        self._run: list[float] = []

    def missed(self) -> None:
        self._run = []

    def renewed(self, asked_at: float, now: float) -> None:
        if asked_at - self._asked_at >= LEASE_S or now - asked_at >= 4.0:
            self._run = []
        self._asked_at = asked_at
        self._run.append(now)

    def __call__(self, now: float) -> bool:
        return bool(self._run) and now - self._run[0] >= LEASE_S


@given(st.lists(STEP, max_size=40))
def test_whatever_redis_says_the_living_are_not_dropped_without_trust(
    steps: list[tuple[object, ...]],
) -> None:
    now = 100.0
    it = Members(ME, WorkerInfo(edge=True, handler=True), lease_s=LEASE_S, now=now)
    trust = Trust(now)
    for step in steps:
        known, handlers, generation = dict(it.known), it.handlers, it.generation
        match step:
            case ("renewed", Leases() as view, float(pause_s), float(latency_s)):
                asked_at, now = now + pause_s, now + pause_s + latency_s
                trust.renewed(asked_at, now)
                past_ms = round(now * 1000)  # Redis' clock goes with ours
                ends = {w: (end + past_ms, info) for w, (end, info) in view.workers.items()}
                changes = it.renewed(
                    replace(view, now_ms=NOW_MS + past_ms, workers=ends), asked_at=asked_at, now=now
                )
                came, went = it.known.keys() - known.keys(), known.keys() - it.known.keys()
                ended = {w for w, (end, _) in view.workers.items() if end <= NOW_MS} - {ME}
                dead = set(view.fenced)
                absent = known.keys() - view.workers.keys() - {ME}

                assert set(changes.joined) == came
                assert set(changes.gone) == went
                assert went == ((dead | absent) if trust(now) else dead) & known.keys() - {ME}
                assert came.isdisjoint(dead | ended)
                assert set(changes.lapsed) == (ended - dead if trust(now) else set())
                assert set(changes.unswept) == ended & dead
                assert changes.fenced == (ME in dead)
                assert changes.changed == (it.known != known or it.handlers != handlers)
            case ("missed",):
                it.missed()
                trust.missed()
            case ("leaving", str(worker)):
                it.leaving(WorkerId(worker), now=now - 0.1)
            case ("gone", str(worker)):
                it.gone(WorkerId(worker), now=now - 0.1)
        assert it.trusted(now) == trust(now)
        assert ME in it.known
        able = {worker for worker, info in it.known.items() if info.handler}
        staying = {worker for worker in able if not it.known[worker].leaving}
        assert it.handlers == tuple(sorted(staying or able))
        assert it.generation == generation + (it.handlers != handlers)


@given(
    st.lists(st.floats(0.0, RENEWAL_S), min_size=3, max_size=3),
    st.floats(30.0, 35.0),
    st.floats(0.0, 25.0),
    st.permutations(range(3)),
)
def test_a_redis_that_freezes_makes_nobody_fence_the_living(
    phases: list[float], frozen_at: float, frozen_s: float, order: list[int]
) -> None:
    """Every renewal that was under way is answered after the thaw, in any order."""
    workers = OTHERS[:3]
    info = WorkerInfo(edge=True, handler=True)
    views = [Members(worker, info, lease_s=LEASE_S, now=0.0) for worker in workers]
    ends: dict[WorkerId, float] = {}
    thawed_at = frozen_at + frozen_s

    def renew(index: int, asked_at: float, now: float) -> None:
        ends[workers[index]] = now + LEASE_S
        seen = {worker: (round(end * 1000), info) for worker, end in ends.items()}
        changes = views[index].renewed(
            Leases(round(now * 1000), seen, set()), asked_at=asked_at, now=now
        )
        assert changes.lapsed == []
        assert changes.gone == []

    asked = [
        list(itertools.takewhile(lambda at: at < thawed_at, itertools.count(phase, RENEWAL_S)))
        for phase in phases
    ]
    good = sorted((at, index) for index in range(3) for at in asked[index] if at < frozen_at)
    for at, index in good:
        renew(index, at, at)
    for index in order:
        under_way = [at for at in asked[index] if at >= frozen_at]
        if under_way:  # one at a time: the next one is asked for when this one is answered
            renew(index, under_way[0], thawed_at)
