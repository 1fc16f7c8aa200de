"""Who handles a connection: the same answer on every edge, and few that change."""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Collection

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.hash_ring import MOST_FOLLOWED, RINGS, HashRing, Ring
from gateway.protocol.ids import ConnectionId, WorkerId, connection_id, worker_id
from tests.unit.protocol.ring_shares import PLACES, shares

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


SOME_CONNECTIONS = connections(60)


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


@settings(max_examples=60)
@given(st.data(), st.randoms(use_true_random=False))
def test_what_came_and_went_before_does_not_matter(
    data: st.DataObject, dice: random.Random
) -> None:
    """Nor which rings are laid: of each set only some connections ask. Red where a ring keeps a
    point of who left, or lacks one of who came: edges disagree.
    """
    ring, everybody = HashRing(), workers(40)
    for _ in range(4):
        some = dice.sample(everybody, data.draw(st.integers(1, len(everybody))))
        for few in (some, some[: -data.draw(st.integers(1, 3))] or some, list(some)):
            anew = HashRing()
            for connection in dice.sample(SOME_CONNECTIONS, data.draw(st.integers(0, 20))):
                assert ring.pick(connection, few) == anew.pick(connection, few)


@settings(max_examples=60)
@given(st.integers(1, 60), st.sets(st.integers(0, 59)), st.sets(st.integers(0, 59)), st.data())
def test_only_what_must_move_moves_also_while_half_is_laid(
    asked: int, leave: set[int], join: set[int], data: st.DataObject
) -> None:
    """Whatever part of the set changes at once, and however many connections have asked by then."""
    everybody = workers(60)
    before = [w for at, w in enumerate(everybody) if at not in join - leave] or everybody
    after = [w for at, w in enumerate(everybody) if at not in leave - join] or everybody
    ring = HashRing()
    had = {c: ring.pick(c, before) for c in SOME_CONNECTIONS[:asked]}
    for connection in data.draw(st.permutations(SOME_CONNECTIONS[:asked])):
        now = ring.pick(connection, after)
        assert now == had[connection] or had[connection] not in after or now not in before


@pytest.mark.parametrize("turned", [False, True])
def test_where_points_coincide_the_worker_decides(
    monkeypatch: pytest.MonkeyPatch, *, turned: bool
) -> None:
    """Red where the order of arrival does: edges disagree, and who leaves takes another's."""
    monkeypatch.setattr("gateway.protocol.hash_ring._points", lambda _worker: _at(0))
    ring, some = HashRing(), sorted(workers(3), reverse=turned)
    for count in (1, 2, 3, 2, 1):
        for connection in connections(9):
            assert ring.pick(connection, some[:count]) == pick(connection, some[:count])
        assert {len(owners) for _, owners in filter(None, ring._rings)} == {count}


@pytest.mark.parametrize(
    ("probes", "nearest"),
    [
        ((14, 31), 0), ((31, 14), 0), ((16, 33), 1), ((33, 16), 1), ((29, 24), 1), ((24, 29), 1),
        ((33, 99), 2), ((99, 33), 2), ((PLACES - 2, 99), 0), ((99, PLACES - 2), 0),
        ((PLACES + 3, 99), 0), ((PLACES // 2 + 24, 99), 2), ((PLACES // 2 + 26, 999), 2),
        ((PLACES // 2 + 26, PLACES // 2 + 27), 0),
    ],
)  # fmt: skip
def test_the_point_that_is_nearest_to_either_probe_decides(
    monkeypatch: pytest.MonkeyPatch, probes: tuple[int, int], nearest: int
) -> None:
    """Also over the end of the ring. Red where one side, or one probe, counts alone."""
    some = workers(3)
    points = {worker: _at(place) for worker, place in zip(some, (10, 20, 40), strict=True)}
    monkeypatch.setattr("gateway.protocol.hash_ring._points", lambda worker: points[worker])
    spread = 3 << 60 | probes[1] << 30 | probes[0]
    monkeypatch.setattr("gateway.protocol.hash_ring._SPREAD", 1)
    monkeypatch.setattr("gateway.protocol.hash_ring.crc32", lambda _connection: spread)
    ring = HashRing()

    assert ring.pick(connections(1)[0], some) == some[nearest]
    assert [number for number, made in enumerate(ring._rings) if made] == [3]


def _at(place: int) -> bytes:
    """A point at this place of each ring."""
    return place.to_bytes(4, sys.byteorder) * RINGS


def test_a_ring_is_laid_when_it_is_asked_for_and_all_are_few_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red where the first pick of a worker that starts lays all, or one after a change of many; and
    where rings are of 256,000 points: with four edges of 1,000 handler workers, the first messages
    after a change held the loop for 160 ms.
    """
    ring, some, laid = HashRing(), workers(1000), 0
    lay = HashRing._lay

    def counted(ring: HashRing, number: int) -> Ring:
        nonlocal laid
        made = lay(ring, number)
        laid += len(made[0])
        return made

    monkeypatch.setattr(HashRing, "_lay", counted)
    for of in (some, some[MOST_FOLLOWED + 1 :]):
        laid = 0
        ring.pick(connections(1)[0], of)
        assert laid == len(of)
        for connection in connections(2000):
            ring.pick(connection, of)
        assert laid == RINGS * len(of) <= 32_000
    laid = 0
    for connection in connections(2000):
        ring.pick(connection, some[1:])  # of those MOST_FOLLOWED have come
    assert laid == 0


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
    """Red with one probe. A share deviates by 7 %: that of 200 is three times that off."""
    part = shares(workers(count)).values()

    assert sum(part) == pytest.approx(count)
    assert least < min(part)
    assert max(part) < most


def test_connections_are_spread_as_the_shares_say() -> None:
    """Red where connections of one owner lie together."""
    ring, some = HashRing(), workers(4)
    counted = Counter(ring.pick(connection, some) for connection in connections(4000))

    # Of 4,000 throws at four targets each share is 1,000 with a deviation of 27.
    for worker, share in shares(some).items():
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
