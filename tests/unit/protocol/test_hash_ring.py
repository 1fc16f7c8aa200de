"""Who handles a connection: the same answer on every edge, and few that change."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.hash_ring import MOST_FOLLOWED, POINTS, HashRing
from gateway.protocol.ids import ConnectionId, WorkerId, connection_id, worker_id

WORKER = st.binary(min_size=10, max_size=10).map(worker_id)
WORKERS = st.lists(WORKER, min_size=1, max_size=8, unique=True)
CONNECTION = st.binary(min_size=16, max_size=16).map(
    lambda random: connection_id(WorkerId("a" * 16), random)
)


def pick(connection: ConnectionId, workers: Collection[WorkerId]) -> WorkerId | None:
    return HashRing().pick(connection, workers)


def connections(count: int) -> list[ConnectionId]:
    dice = random.Random(1)
    return [connection_id(WorkerId("a" * 16), dice.randbytes(16)) for _ in range(count)]


def workers(count: int) -> list[WorkerId]:
    dice = random.Random(2)
    return [worker_id(dice.randbytes(10)) for _ in range(count)]


def shares(ring: HashRing, some: list[WorkerId]) -> list[float]:
    """The part of the ring that each worker has, of what would be even."""
    ring.pick(connections(1)[0], some)
    segments = [ring._lay(number) for number in range(POINTS)]
    places = [place for segment, _ in segments for place in segment]
    owners = [owner for _, segment in segments for owner in segment]
    share: Counter[WorkerId] = Counter()
    for owner, here, there in zip(
        owners, places, [*places[1:], places[0] + (1 << 64)], strict=True
    ):
        share[owner] += there - here
    return [share[worker] * len(some) / (1 << 64) for worker in some]


def test_nobody_handles_a_connection_when_there_are_no_workers() -> None:
    ring = HashRing()
    assert ring.pick(connections(1)[0], []) is None
    assert ring.pick(connections(1)[0], workers(1)) == workers(1)[0]
    assert ring.pick(connections(1)[0], []) is None


@given(CONNECTION, WORKERS, st.randoms(use_true_random=False))
def test_the_order_of_the_workers_does_not_matter(
    connection: ConnectionId, some: list[WorkerId], dice: random.Random
) -> None:
    shuffled = list(some)
    dice.shuffle(shuffled)

    assert pick(connection, some) == pick(connection, shuffled)


@settings(max_examples=30)
@given(st.lists(CONNECTION, min_size=1, max_size=30), st.lists(WORKERS, min_size=2, max_size=4))
def test_what_came_and_went_before_does_not_matter(
    some_connections: list[ConnectionId], sets: list[list[WorkerId]]
) -> None:
    """Red where a ring keeps a point of who left, or lacks one of who came: edges disagree."""
    ring = HashRing()
    for some in sets:
        anew = HashRing()
        for connection in some_connections:
            assert ring.pick(connection, some) == anew.pick(connection, some)


@pytest.mark.parametrize("turned", [False, True])
def test_where_points_coincide_the_worker_decides(
    monkeypatch: pytest.MonkeyPatch, *, turned: bool
) -> None:
    """Red where the order of arrival does: edges disagree, and who leaves takes another's."""
    monkeypatch.setattr("gateway.protocol.hash_ring._offsets", lambda _worker: bytes(8 * POINTS))
    ring, some = HashRing(), sorted(workers(3), reverse=turned)
    for count in (1, 2, 3, 2, 1):
        assert {ring.pick(c, some[:count]) for c in connections(9)} == {max(some[:count])}
        assert {len(owners) for _, owners in filter(None, ring._segments)} == {count}


def test_who_comes_before_all_points_of_a_segment_belongs_to_the_one_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also from the first to the last. Red where it belongs to the last of its own."""
    some = workers(3)
    offsets = {worker: _at(place) for worker, place in zip(some, (1, 2, 3), strict=True)}
    monkeypatch.setattr("gateway.protocol.hash_ring._offsets", lambda worker: offsets[worker])
    for segment in (1, 0):
        monkeypatch.setattr("gateway.protocol.hash_ring.blake2b", _Digest(segment << 56))
        ring = HashRing()

        assert ring.pick(connections(1)[0], some) == some[2]
        laid = [number for number, made in enumerate(ring._segments) if made]
        assert laid == sorted([segment, (segment - 1) % POINTS])


def _at(place: int) -> bytes:
    """Points at this place of each segment."""
    return (place << 8).to_bytes(8) * POINTS


class _Digest:
    """A hash that puts all connections at one place."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __call__(self, _connection: bytes, *, digest_size: int) -> _Digest:
        assert digest_size == 8
        return self

    def digest(self) -> bytes:
        return self._place.to_bytes(8)


def test_a_ring_is_laid_as_it_is_asked_for_and_not_in_one_turn() -> None:
    """Red where the first pick of a worker that starts lays all of it: 150 ms at a thousand. Nor
    does a set in which many have changed."""
    ring, some = HashRing(), workers(1000)

    def laid() -> int:
        return sum(segment is not None for segment in ring._segments)

    for of in (some, some[MOST_FOLLOWED + 1 :], some[:-1]):
        ring.pick(connections(1)[0], of)
        assert laid() <= 2
        for connection in connections(2000):
            ring.pick(connection, of)
        assert laid() == POINTS


@given(CONNECTION, WORKERS, st.data())
def test_a_worker_that_leaves_moves_only_its_own_connections(
    connection: ConnectionId, some: list[WorkerId], data: st.DataObject
) -> None:
    leaving = data.draw(st.sampled_from(some))
    before = pick(connection, some)
    after = pick(connection, [worker for worker in some if worker != leaving])

    assert before in (after, leaving)


@given(CONNECTION, WORKERS, WORKER)
def test_a_worker_that_joins_only_takes_connections_for_itself(
    connection: ConnectionId, some: list[WorkerId], joining: WorkerId
) -> None:
    assert pick(connection, [*some, joining]) in (pick(connection, some), joining)


@pytest.mark.parametrize(
    ("count", "least", "most"), [(4, 0.85, 1.15), (20, 0.8, 1.2), (200, 0.75, 1.25)]
)
def test_each_worker_has_about_the_same_share(count: int, least: float, most: float) -> None:
    """Red with 32 points each. A share deviates by 1/16: that of 200 is three times that off."""
    some = shares(HashRing(), workers(count))

    assert least < min(some)
    assert max(some) < most


def test_connections_are_spread_as_the_shares_say() -> None:
    """Red where connections of one owner lie together."""
    ring, some = HashRing(), workers(4)
    counted = Counter(ring.pick(connection, some) for connection in connections(4000))

    # Of 4,000 throws at four targets each share is 1,000 with a deviation of 27.
    for worker, share in zip(some, shares(ring, some), strict=True):
        assert abs(counted[worker] - 1000 * share) < 130


def test_the_connections_of_a_dead_worker_are_spread_over_all_others() -> None:
    dead, *others = workers(4)
    full, rest, everybody = HashRing(), HashRing(), [dead, *others]
    orphans = [c for c in connections(4000) if full.pick(c, everybody) == dead]
    heirs = Counter(rest.pick(connection, others) for connection in orphans)

    assert all(heirs[other] > len(orphans) / 4 for other in others)


def test_a_worker_that_joins_two_hundred_moves_its_share_and_no_more() -> None:
    ring, *sets = HashRing(), workers(200), workers(201)
    before, after = [[ring.pick(c, some) for c in connections(20_000)] for some in sets]
    moved = [new for old, new in zip(before, after, strict=True) if old != new]

    assert set(moved) == {sets[1][-1]}
    assert 60 < len(moved) < 150  # 20,000 of 201 are 100
