"""Who handles a connection: the same answer on every edge, and few that change."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.ids import ConnectionId, WorkerId, connection_id, worker_id
from gateway.protocol.rendezvous_hash import pick

WORKER = st.binary(min_size=10, max_size=10).map(worker_id)
WORKERS = st.lists(WORKER, min_size=1, max_size=8, unique=True)
CONNECTION = st.binary(min_size=16, max_size=16).map(
    lambda random: connection_id(WorkerId("a" * 16), random)
)


def connections(count: int) -> list[ConnectionId]:
    dice = random.Random(1)
    return [connection_id(WorkerId("a" * 16), dice.randbytes(16)) for _ in range(count)]


def workers(count: int) -> list[WorkerId]:
    dice = random.Random(2)
    return [worker_id(dice.randbytes(10)) for _ in range(count)]


def test_nobody_handles_a_connection_when_there_are_no_workers() -> None:
    assert pick(connections(1)[0], []) is None


@given(CONNECTION, WORKERS, st.randoms(use_true_random=False))
def test_the_order_of_the_workers_does_not_matter(
    connection: ConnectionId, some: list[WorkerId], dice: random.Random
) -> None:
    shuffled = list(some)
    dice.shuffle(shuffled)

    assert pick(connection, some) == pick(connection, shuffled)


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


def test_connections_are_spread_evenly() -> None:
    shares = Counter(pick(connection, workers(4)) for connection in connections(4000))

    # Of 4,000 throws at four targets each share is 1,000 with a deviation of 27.
    assert len(shares) == 4
    assert all(870 < share < 1130 for share in shares.values())


def test_the_connections_of_a_dead_worker_are_spread_over_all_others() -> None:
    dead, *others = workers(4)
    orphans = [c for c in connections(4000) if pick(c, [dead, *others]) == dead]
    heirs = Counter(pick(connection, others) for connection in orphans)

    assert all(heirs[other] > len(orphans) / 4 for other in others)
