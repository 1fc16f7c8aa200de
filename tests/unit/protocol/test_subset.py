"""To which handling workers an edge takes messages: evenly, over hosts, and few that change."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.ids import WorkerId, worker_id
from gateway.protocol.subset import FEWEST_EDGES, SUBSET, subset
from tests.unit.protocol.ring_shares import shares

WORKER = st.binary(min_size=10, max_size=10).map(worker_id)
EDGES = st.lists(WORKER, min_size=1, max_size=40, unique=True).map(sorted)
HANDLERS = st.lists(WORKER, max_size=60, unique=True).map(sorted)
SIZE = st.integers(2, 20)


def workers(count: int, seed: int = 1) -> list[WorkerId]:
    dice = random.Random(seed)
    return sorted(worker_id(dice.randbytes(10)) for _ in range(count))


def taken(
    me: WorkerId,
    edges: Sequence[WorkerId],
    handlers: Sequence[WorkerId],
    size: int = SUBSET,
    hosts: Mapping[WorkerId, str] | None = None,
) -> tuple[WorkerId, ...]:
    """Each on a host of its own, where nothing else is said."""
    host_of = str if hosts is None else hosts.__getitem__
    return subset(me, edges, handlers, size=size, host_of=host_of)


def taken_by(
    edges: Sequence[WorkerId],
    handlers: Sequence[WorkerId],
    size: int = SUBSET,
    hosts: Mapping[WorkerId, str] | None = None,
) -> Counter[WorkerId]:
    """How many edges take each."""
    return Counter(h for edge in edges for h in taken(edge, edges, handlers, size, hosts))


@given(EDGES, HANDLERS, SIZE)
def test_each_is_taken_by_as_many_edges_and_each_edge_takes_as_many(
    edges: list[WorkerId], handlers: list[WorkerId], size: int
) -> None:
    subsets = [taken(edge, edges, handlers, size) for edge in edges]

    counted = Counter(handler for some in subsets for handler in some)
    assert set(counted) == set(handlers)
    assert len(set(counted.values())) <= 1
    assert all(len(set(some)) == len(some) for some in subsets)
    sizes = [len(some) for some in subsets]
    assert min(sizes) >= min(size - size / 8 - 1, len(handlers))
    assert max(sizes) - min(sizes) <= 1
    if handlers:
        assert counted[handlers[0]] >= min(FEWEST_EDGES, len(edges))


@given(EDGES, st.lists(WORKER, max_size=20, unique=True).map(sorted))
def test_there_is_no_subset_where_no_more_handle(
    edges: list[WorkerId], handlers: list[WorkerId]
) -> None:
    assert taken(edges[0], edges, handlers, 20) == tuple(handlers)


def test_without_edges_and_where_nobody_handles() -> None:
    """A worker without sockets dispatches what a sweep finds."""
    me, *handlers = workers(50)

    assert taken(me, [], handlers) == tuple(handlers)
    assert taken(me, [], []) == ()
    assert taken(me, handlers, []) == ()


@pytest.mark.parametrize("at", [0, 77, 200])
def test_who_is_no_edge_takes_those_of_the_next_one(at: int) -> None:
    """One that leaves still has sockets. Red where it takes nobody's, or fails past the last."""
    some = workers(201)
    me = some.pop(at)

    assert taken(me, some, some) == taken(some[at % 200], some, some)


@given(st.lists(WORKER, min_size=2, max_size=60, unique=True).map(sorted), SIZE, st.data())
def test_where_all_are_both_only_those_before_one_that_comes_change(
    some: list[WorkerId], size: int, data: st.DataObject
) -> None:
    """One place each. So too for one that goes: it is the same in reverse."""
    newcomer = data.draw(st.sampled_from(some))
    before = [worker for worker in some if worker != newcomer]
    changed = 0
    for edge in before:
        old, new = set(taken(edge, before, before, size)), set(taken(edge, some, some, size))
        if old != new:
            changed += 1
            assert new - old == {newcomer}
            assert len(old - new) <= 1
    subsets = len(some) > max(size, FEWEST_EDGES)
    assert changed == (max(size, FEWEST_EDGES) - 1 if subsets else len(before))


@given(EDGES, HANDLERS, WORKER, SIZE)
def test_of_handlers_apart_one_that_comes_moves_two_others_at_most(
    edges: list[WorkerId], handlers: list[WorkerId], newcomer: WorkerId, size: int
) -> None:
    """At each edge. Red where places follow from a number modulo how many there are."""
    more, count = sorted({*handlers, newcomer}), len(edges)
    was, now = [
        min(count, max(FEWEST_EDGES, int(size * count / max(1, len(some)) + 0.5)))
        for some in (handlers, more)
    ]
    fewer = -(-(was - now) * len(more) // count)  # edges take each, since there are more of them
    for edge in edges:
        old, new = set(taken(edge, edges, handlers, size)), set(taken(edge, edges, more, size))
        assert len(new - old) <= 2
        assert len(old - new) <= 2 + fewer


@settings(max_examples=50)
@given(EDGES, HANDLERS, WORKER, SIZE)
def test_an_edge_that_comes_moves_a_part_at_most_at_the_others(
    edges: list[WorkerId], handlers: list[WorkerId], newcomer: WorkerId, size: int
) -> None:
    more = sorted({*edges, newcomer})
    part = -(-len(handlers) // len(edges))
    for edge in edges:
        old, new = set(taken(edge, edges, handlers, size)), set(taken(edge, more, handlers, size))
        if len(old) < len(handlers):
            assert len(new - old) <= 2 * part


# Hosts


def test_one_host_has_never_all_of_a_subset() -> None:
    """Two of a hundred workers each: by chance 2 of 200 edges would have 13 or more of one."""
    some, dice = workers(200), random.Random(3)
    for _ in range(20):
        hosts = {worker: dice.choice("ab") for worker in some}
        share = Counter(hosts.values())
        for edge in some:
            per_host = Counter(hosts[w] for w in taken(edge, some, some, hosts=hosts))
            assert sum(per_host.values()) == SUBSET
            for host, other in ("ab", "ba"):
                assert per_host[other] >= SUBSET * share[other] // 400
                assert per_host[host] < SUBSET


@pytest.mark.parametrize("there", [1, 2, 5])
def test_of_a_few_others_one_at_least_is_taken(there: int) -> None:
    """Where they are next on the circle; the others keep their places."""
    some = workers(200)
    hosts = dict.fromkeys(some, "large") | dict.fromkeys(some[100 : 100 + there], "small")
    for number, edge in enumerate(some):
        own = taken(edge, some, some, hosts=hosts)
        assert len(set(own)) == SUBSET
        assert sum(hosts[worker] == "small" for worker in own) >= 1
        if not 85 <= number < 100 + there:
            assert own == (*[some[(number + n) % 200] for n in range(SUBSET - 1)], some[100])


def test_with_one_host_there_is_nothing_to_spread() -> None:
    some = workers(200)
    hosts = dict.fromkeys(some, "")

    assert taken(some[3], some, some, hosts=hosts) == tuple(some[3 : 3 + SUBSET])


# Evenness


@pytest.mark.parametrize(("edges", "handlers"), [(200, 200), (30, 200), (50, 42)])
def test_loads_are_as_even_as_the_ring_is(edges: int, handlers: int) -> None:
    """Of edges with the same load each: the largest by the mean. Choosing at random gives 1.6."""
    senders, targets = workers(edges, 5), workers(handlers, 6)
    load = dict.fromkeys(targets, 0.0)
    for edge in senders:
        some = taken(edge, senders, targets)
        for target, share in shares(some).items():
            load[target] += share / len(some)

    assert max(load.values()) < 1.2 * edges / handlers
    assert min(load.values()) > 0.8 * edges / handlers


def test_loads_are_nearly_as_even_over_hosts() -> None:
    """Of three quarters of the workers on one host, and the rest on another."""
    some, dice = workers(200), random.Random(4)
    hosts = {worker: dice.choice("aaab") for worker in some}
    counted = taken_by(some, some, hosts=hosts)

    assert sum(counted.values()) == 200 * SUBSET
    assert max(counted.values()) <= 1.25 * SUBSET
    assert min(counted.values()) >= 0.75 * SUBSET
