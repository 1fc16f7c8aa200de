"""The nodes of a Cluster: who is asked, and which of them is believed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support.cluster_nodes import ANEW_S, ASKED_AT_ONCE
from gateway.redis_support.slots import SLOTS, Sight
from tests.support.logs import capture_logs
from tests.unit.redis_support.cluster_world import A, B, C, Nodes, sight

HERE, THERE = sight(A, B), sight(B, A, epoch=2)


async def test_some_of_those_that_are_known_are_asked_and_no_seed() -> None:
    nodes, known = Nodes(), [(f"n{number}", 1) for number in range(ASKED_AT_ONCE + 2)]
    nodes.says.update(dict.fromkeys(known, HERE))

    assert await nodes.ask(known) == HERE

    assert len(nodes.asked) == ASKED_AT_ONCE
    assert {*nodes.asked} < {*known}


async def test_where_none_of_them_sees_a_majority_all_are_asked_and_the_seeds() -> None:
    nodes, known = Nodes(), [(f"n{number}", 1) for number in range(ASKED_AT_ONCE + 2)]
    nodes.says.update(dict.fromkeys(known, sight(A, B, well=False)))
    nodes.says[A] = THERE

    assert await nodes.ask(known) == THERE

    assert sorted(nodes.asked) == sorted([*known, A])


async def test_who_is_cut_off_is_not_believed_where_others_answer() -> None:
    nodes = Nodes()
    nodes.says.update({A: HERE, B: THERE, C: sight(A, B, epoch=9, well=False)})

    assert await nodes.ask([A, B, C]) == THERE


async def test_that_nobody_answers_is_said_once() -> None:
    nodes = Nodes()
    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match="no node of the Cluster"):
                await nodes.ask([B])
            assert nodes.silent
        nodes.says[B] = HERE
        assert await nodes.ask([B]) == HERE

    assert not nodes.silent
    assert [line["event"] for line in logs] == [
        "no node of the cluster says where its masters are", "cluster answers again",
    ]  # fmt: skip


@pytest.mark.parametrize("well", [True, False])
async def test_a_node_of_another_cluster_is_not_believed_where_one_of_this_answers(
    well: bool,
) -> None:
    """It has the address of one that is gone. Red when the newest configuration counts whosever it
    is: from then on all nodes that were asked were of the other one.
    """
    nodes, here = Nodes(), replace(HERE, ids=frozenset({b"1", b"2"}))
    nodes.says.update({A: here, B: here, C: here})
    assert await nodes.ask([A, B, C]) == here
    replaced = nodes.says[A] = replace(here, epoch=2, ids=frozenset({b"2", b"3"}), well=well)
    nodes.says[B] = replace(THERE, epoch=99, ids=frozenset({b"8", b"9"}))
    del nodes.says[C]

    with capture_logs() as logs:
        for _ in range(2):
            assert await nodes.ask([B, C]) == replaced  # A is a seed, and asked besides
    assert [line["event"] for line in logs] == ["a node of another cluster answers"]

    del nodes.says[A]  # all of it was built anew
    with pytest.raises(BrokerUnavailable):
        await nodes.ask([B, C])
    nodes.time += ANEW_S
    assert await nodes.ask([B, C]) == nodes.says[B]
    nodes.says[A] = replaced
    assert await nodes.ask([A, B]) == nodes.says[B]


async def test_a_node_that_is_of_no_cluster_does_not_stand_for_this_one() -> None:
    """One that was reset, and is a seed still. Red when it counted as one of those that answer: of
    a Cluster that was built anew nothing was believed while it ran, and no slot had a master.
    """
    nodes = Nodes()
    nodes.says.update({A: replace(HERE, ids=frozenset({b"1"}))})
    await nodes.ask([A])
    nodes.says[A] = Sight((None,) * SLOTS, frozenset(), 0, well=False)
    anew = nodes.says[B] = replace(THERE, ids=frozenset({b"8"}))

    with pytest.raises(BrokerUnavailable):
        await nodes.ask([A, B])
    nodes.time += ANEW_S
    assert await nodes.ask([A, B]) == anew


@pytest.mark.parametrize("between", ["own", "nobody"])
async def test_a_node_of_another_cluster_is_not_believed_while_all_of_this_are_away_for_a_moment(
    between: str,
) -> None:
    """Red when it was believed at once: from then on those of this were the other ones."""
    nodes, here = Nodes(), replace(HERE, ids=frozenset({b"1", b"2"}))
    other = replace(THERE, epoch=99, ids=frozenset({b"8", b"9"}))
    nodes.says.update({A: here, B: other})
    assert (await nodes.ask([A])).ids == here.ids
    for _ in range(2):
        del nodes.says[A]
        for _ in range(2):
            with pytest.raises(BrokerUnavailable, match="answer are of another Cluster"):
                await nodes.ask([A, B])
            assert nodes.silent
            nodes.time += ANEW_S / 2 - 0.1
        if between == "nobody":
            nodes.says.clear()
            with pytest.raises(BrokerUnavailable):
                await nodes.ask([A, B])
            nodes.says[B] = other
        nodes.says[A] = here
        if between == "own":
            assert await nodes.ask([A, B]) == here
            assert not nodes.silent
    assert await nodes.ask([A, B]) == here


async def test_each_other_cluster_is_told_of_once_however_differently_its_nodes_see_it() -> None:
    """Red when it was told of whenever the first to answer named other nodes than the last."""
    nodes = Nodes()
    nodes.says.update({A: replace(HERE, ids=frozenset({b"1"}))})
    await nodes.ask([A])
    views = [{b"6"}, {b"8"}, {b"6", b"7"}, {b"8", b"9"}, {b"7"}, {b"9"}]

    with capture_logs() as logs:
        for view in views * 2:
            nodes.says[B] = replace(THERE, ids=frozenset(view))
            await nodes.ask([A, B])
    assert [line["event"] for line in logs] == ["a node of another cluster answers"] * 2
