"""A run of publications leads to the same as each of them by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.channel_steps import Deliver, Step
from gateway.protocol.recovery import Publication
from gateway.protocol.worker_channel import WorkerChannel
from tests.unit.protocol.channel_builders import (
    ANN,
    BOB,
    CAT,
    PLAIN,
    POSITIONED,
    at,
    history,
    live,
    number_of,
    run,
    since,
)

OFFSETS = st.integers(1, 10)
Told = list[tuple[int, tuple[str, ...]] | str]


def in_state(name: str) -> WorkerChannel:
    """A channel to which 6 comes next, in one of the states that make a difference."""
    channel = WorkerChannel()
    if name == "subscribing":
        channel.join(ANN, POSITIONED)
        return channel
    channel = live((ANN, POSITIONED))
    channel.join(BOB, PLAIN)
    if name in ("reading", "ahead"):
        [read] = channel.join(CAT, since(3 if name == "reading" else 7))
        if name == "ahead":
            channel.read(number_of(read), history(1, 7))
            assert CAT in channel.waiting
    return channel


def one_by_one(channel: WorkerChannel, epoch: str, publications: list[Publication]) -> Told:
    return [said for one in publications for said in told(channel.arrived(epoch, one))]


def told(steps: list[Step]) -> Told:
    return [
        (step.publication.offset, tuple(who for some in step.to for who in some))
        if isinstance(step, Deliver)
        else repr(step)
        for step in steps
    ]


def in_runs(channel: WorkerChannel, epoch: str, publications: list[Publication]) -> Told:
    found: Told = []
    rest = publications
    while rest:
        if count := channel.arrived_for_everybody(epoch, rest):
            everybody = tuple(who for some in channel.everybody for who in some)
            found += [(one.offset, everybody) for one in rest[:count]]
        else:
            count = 1
            found += told(channel.arrived(epoch, rest[0]))
        rest = rest[count:]
    return found


@given(
    st.sampled_from(["live", "subscribing", "reading", "ahead"]),
    st.lists(
        st.tuples(
            st.sampled_from("aab"),
            st.one_of(
                st.builds(lambda at, more: run(at, at + more), OFFSETS, OFFSETS),
                st.integers(1, 4).map(lambda count: [Publication(0, b"")] * count),
            ),
        ),
        max_size=6,
    ),
)
def test_a_run_is_told_to_the_same_and_leaves_the_channel_the_same(
    state: str, runs: list[tuple[str, list[Publication]]]
) -> None:
    one, other = in_state(state), in_state(state)

    for epoch, publications in [("a", run(6, 6)), *runs]:
        assert in_runs(other, epoch, publications) == one_by_one(one, epoch, publications)
        assert other.position == one.position
        assert list(other._held) == list(one._held)


@pytest.mark.parametrize(
    ("state", "publications", "count"),
    [
        ("live", run(6, 9), 4),
        ("live", [*run(6, 7), *run(9, 9)], 2),
        ("live", run(7, 9), 0),
        ("live", [Publication(0, b"")] * 3, 3),
        ("reading", run(6, 9), 4),
        ("ahead", run(6, 9), 0),
        ("subscribing", run(6, 9), 0),
    ],
)
def test_as_many_are_taken_together_as_go_to_everybody(
    state: str, publications: list[Publication], count: int
) -> None:
    channel = in_state(state)

    assert channel.arrived_for_everybody("a", publications) == count


def test_none_of_another_epoch_is_taken_together() -> None:
    channel = in_state("live")

    assert channel.arrived_for_everybody("b", run(6, 9)) == 0
    assert channel.position == at(5)
