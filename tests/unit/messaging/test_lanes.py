"""Links over several publishers: each has a lane of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import pytest

from gateway.broker.base import Payload
from gateway.broker.memory import MemoryBroker
from gateway.errors import BrokerUnavailable
from gateway.messaging import batch_clock
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import Reply
from gateway.protocol.envelopes.membership import Gone
from gateway.protocol.ids import WorkerId
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.waiting import eventually


class Master:
    """Publishes for some channels.

    Attributes:
        answers: Whether anybody is told; if not, what left is under way for ever.
    """

    def __init__(self) -> None:
        self.left: list[str] = []
        self.answers = True
        self.connected = True
        self.losses = 0

    def publish(self, messages: Sequence[tuple[str, Payload]]) -> asyncio.Future[list[int]]:
        self.left += [channel for channel, _ in messages]
        published: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        if not self.connected:
            published.set_exception(BrokerUnavailable("gone"))
        elif self.answers:
            published.set_result([1] * len(messages))
        return published

    def publish_quietly(self, channel: str, payload: bytes) -> bool:
        return False


class Masters(MemoryBroker):
    """Channels at two masters."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = Master(), Master()
        self.at: dict[str, Master] = {}
        self.reroute: Callable[[], None] = lambda: None

    def route(self, channel: str) -> Master:  # type: ignore[override]  # one of several
        return self.at.get(channel, self.one)

    def when_rerouted(self, rerouted: Callable[[], None]) -> None:
        self.reroute = rerouted


@pytest.fixture
def masters() -> Masters:
    return Masters()


@pytest.fixture
async def links(masters: Masters) -> AsyncIterator[Links]:
    made = Links(
        new_worker_id(), masters, Counters(),
        channel_of=str, everyone="all", now=asyncio.get_running_loop().time,
    )  # fmt: skip
    task = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    yield made
    task.cancel()
    await asyncio.wait({task})


def left_more_than(master: Master, before: int) -> bool:
    return len(master.left) > before


def say(links: Links, peer: WorkerId) -> None:
    links.send(peer, Reply(new_connection_id(), 1, 1, "text"))


async def test_a_master_that_does_not_answer_holds_up_only_its_own(
    links: Links, masters: Masters
) -> None:
    """Red with one clock for all."""
    near, far = new_worker_id(), new_worker_id()
    masters.at[far] = masters.two
    masters.two.answers = False
    say(links, far)
    await eventually(lambda: masters.two.left, "the batch that is under way")

    for _ in range(3):
        before = len(masters.one.left)
        say(links, far)
        say(links, near)
        await eventually(partial(left_more_than, masters.one, before), "a batch")

    assert masters.two.left == [far]


async def test_what_is_for_a_channel_that_has_moved_leaves_again_at_its_next_master(
    links: Links, masters: Masters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once. Red where it waits for a tick."""
    monkeypatch.setattr(batch_clock, "TICK_S", 3600.0)
    peer, other = new_worker_id(), new_worker_id()
    say(links, peer)
    say(links, other)
    await eventually(lambda: peer in masters.one.left, "the first batch")
    before = masters.one.left.count(other)

    masters.at[peer] = masters.two
    masters.reroute()

    await eventually(lambda: peer in masters.two.left, "the same batch, repeated")
    say(links, peer)
    await eventually(lambda: masters.two.left.count(peer) > 1, "the next one")
    assert masters.one.left.count(other) == before  # which is owed nothing by it
    assert len(links._lanes.clocks) == 2


async def test_a_lane_ends_with_its_last_channel(links: Links, masters: Masters) -> None:
    peer = new_worker_id()
    masters.at[peer] = masters.two
    say(links, peer)
    await eventually(lambda: masters.two.left, "the batch")

    masters.at.clear()
    masters.reroute()

    await eventually(lambda: peer in masters.one.left, "the batch, repeated")
    assert len(links._lanes.clocks) == 1


async def test_hints_go_where_their_channel_is(links: Links, masters: Masters) -> None:
    masters.at["all"] = masters.two

    links.tell_everyone(Gone(new_worker_id()))

    await eventually(lambda: masters.two.left == ["all"], "the hint")
    assert masters.one.left == []


async def test_what_goes_wrong_in_a_lane_ends_the_links(masters: Masters) -> None:
    links = Links(
        new_worker_id(), masters, Counters(), channel_of=str, everyone="all", now=lambda: 0.0
    )
    task = asyncio.create_task(links.run())
    await asyncio.sleep(0)
    masters.one.publish = lambda _: 1 / 0  # type: ignore[assignment, method-assign, return-value]

    say(links, new_worker_id())

    with pytest.raises(ZeroDivisionError):
        await task
