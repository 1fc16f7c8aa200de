"""Subscribing, with everything that may happen between any two of its steps.

The world checks what clients are told: each publication once and in order, or a declared gap.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.protocol.channel_steps import (
    Release,
)
from gateway.protocol.worker_channel import State
from tests.unit.protocol.channel_world import World

MOST_STEPS = 8  # more than subscribing has

Disturbance = Callable[[World], None]


def publish(world: World) -> None:
    world.publish()


def publish_many(world: World) -> None:
    """More than the history holds."""
    for _ in range(world.history_size + 1):
        world.publish()


def unsubscribe(world: World) -> None:
    """And subscribe again, from where it had come."""
    world.leave("ann")
    world.join("ann")


def close(world: World) -> None:
    world.leave("ann")


def resync(world: World) -> None:
    world.lose()
    world.publish()
    world.restore()


def lose_the_stream(world: World) -> None:
    world.flush()
    world.publish()


def fail_the_read(world: World) -> None:
    world.fail_read()


def another_comes(world: World) -> None:
    world.join("bob")


def another_comes_unpositioned(world: World) -> None:
    world.join("cat", positioned=False)


def the_second_is_over(world: World) -> None:
    world.linger()


DISTURBANCES = [
    publish, publish_many, unsubscribe, close, resync, lose_the_stream, fail_the_read,
    another_comes, another_comes_unpositioned, the_second_is_over,
]  # fmt: skip


def first_ever(world: World) -> None:
    """Ann comes to a channel with a history, and has never been there."""
    world.publish()
    world.join("ann")


def first_here(world: World) -> None:
    """Ann has been there, at some worker, and has missed two publications."""
    world.publish()
    world.client("ann").at = world.top
    world.publish()
    world.publish()
    world.join("ann")


def late(world: World) -> None:
    """As before, but others are here already, and one publication has not arrived."""
    world.join("dan")
    world.join("eve", positioned=False)
    world.settle()
    first_here(world)


def further_than_the_worker(world: World) -> None:
    """Ann was at a worker to which more has arrived than to this one."""
    world.join("dan")
    world.settle()
    world.publish()
    world.publish()
    world.client("ann").at = world.top
    world.join("ann")


SCENES = [first_ever, first_here, late, further_than_the_worker]
EITHER = pytest.mark.parametrize("reads_first", [False, True])


@EITHER
@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("second", DISTURBANCES)
@pytest.mark.parametrize("first", DISTURBANCES)
def test_two_things_happen_at_every_step_of_subscribing(
    first: Disturbance, second: Disturbance, scene: Disturbance, *, reads_first: bool
) -> None:
    for early in range(MOST_STEPS):
        for later in range(MOST_STEPS - early):
            world = World(reads_first=reads_first)
            scene(world)
            for _ in range(early):
                world.advance()
            first(world)
            for _ in range(later):
                world.advance()
            second(world)
            world.settle()
            world.check()


@EITHER
@pytest.mark.parametrize("scene", SCENES)
def test_undisturbed_everybody_recovers_and_nobody_is_told_of_a_gap(
    scene: Disturbance, *, reads_first: bool
) -> None:
    world = World(reads_first=reads_first)
    scene(world)
    steps = 0
    while world.advance():
        steps += 1
    world.check()

    assert steps < MOST_STEPS
    assert all(client.live and not client.gaps for client in world.clients.values())
    assert world.client("ann").recovered == ([] if scene is first_ever else [True])


@EITHER
@pytest.mark.parametrize("scene", SCENES)
def test_publications_at_every_step_are_no_gap(scene: Disturbance, *, reads_first: bool) -> None:
    for early in range(MOST_STEPS):
        for later in range(MOST_STEPS - early):
            world = World(history_size=10, reads_first=reads_first)
            scene(world)
            for steps in (early, later):
                for _ in range(steps):
                    world.advance()
                world.publish()
            while world.advance():
                pass
            world.check()

            assert all(client.live and not client.gaps for client in world.clients.values())


@EITHER
@pytest.mark.parametrize("scene", SCENES)
def test_who_closes_at_any_step_is_told_nothing_more_and_the_channel_is_given_back(
    scene: Disturbance, *, reads_first: bool
) -> None:
    for steps in range(MOST_STEPS):
        world = World(reads_first=reads_first)
        scene(world)
        for _ in range(steps):
            world.advance()
        for name in list(world.clients):
            world.leave(name)
        told = {name: list(client.got) for name, client in world.clients.items()}
        world.publish()
        while world.advance() or world.linger():
            pass

        assert {name: client.got for name, client in world.clients.items()} == told
        assert world.channel.state is State.RELEASED
        assert isinstance(world.taken[-1], Release)
        assert not world.subscribed


NAMES = ["ann", "bob"]
MOVES = [
    "publish", "publish", "publish", "serve", "serve", "deliver", "deliver", "look up", "answer",
    "fail read", "linger", "linger", "lose", "restore", "flush", "look",
    *(f"join {name}" for name in (*NAMES, "cat")),
    *(f"leave {name}" for name in (*NAMES, "cat")),
]  # fmt: skip


def play(world: World, move: str) -> None:
    verb, _, name = move.partition(" ")
    if verb == "join":
        world.join(name, positioned=name in NAMES)
    elif verb == "leave":
        world.leave(name)
    elif verb == "look" and not name:
        world.take(world.channel.look())
    else:
        getattr(world, move.replace(" ", "_"))()


@settings(max_examples=500)
@given(st.sampled_from([1, 3, 6, 100]), st.lists(st.sampled_from(MOVES), max_size=80))
def test_whatever_happens_each_publication_comes_once_in_order_or_a_gap_is_declared(
    history_size: int, moves: list[str]
) -> None:
    world = World(history_size)
    for move in moves:
        play(world, move)
    world.settle()
    world.check()
