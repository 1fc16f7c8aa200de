"""A worker's channel brought to where a test begins, and what it is told."""

from __future__ import annotations

from gateway.protocol.channel_position import Position
from gateway.protocol.channel_steps import (
    Linger,
    Read,
    Settle,
    Step,
    Subscribe,
    Wish,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import History, Publication
from gateway.protocol.worker_channel import WorkerChannel

ANN, BOB, CAT, DAN = (ConnectionId(name) for name in ("ann", "bob", "cat", "dan"))
PLAIN = Wish()
POSITIONED = Wish(positioned=True)


def at(offset: int, epoch: str = "a") -> Position:
    return Position(epoch, offset)


def since(offset: int, epoch: str = "a") -> Wish:
    return Wish(positioned=True, since=at(offset, epoch))


def run(first: int, last: int) -> list[Publication]:
    return [Publication(n, str(n).encode()) for n in range(first, last + 1)]


def history(first: int, last: int, epoch: str = "a") -> History:
    return History(at(last, epoch), run(first, last))


def number_of(step: Step) -> int:
    assert isinstance(step, Subscribe | Read | Settle | Linger)
    return step.number


def arrive(channel: WorkerChannel, *offsets: int, epoch: str = "a") -> list[Step]:
    steps = []
    for offset in offsets:
        steps += channel.arrived(epoch, Publication(offset, str(offset).encode()))
    return steps


def subscribed(*joining: tuple[ConnectionId, Wish]) -> tuple[WorkerChannel, list[Step]]:
    """A channel whose SUBSCRIBE is acknowledged, and the steps that this has led to."""
    channel = WorkerChannel()
    steps = [step for who, wish in joining for step in channel.join(who, wish)]
    return channel, channel.acknowledged(number_of(steps[0]))


def live(*joining: tuple[ConnectionId, Wish], top: int = 5) -> WorkerChannel:
    """A channel at ``top`` to which all of these have subscribed, with nothing under way."""
    channel, [read] = subscribed(*joining)
    steps = channel.read(number_of(read), history(1, top))
    channel.settled(number_of(steps[-1]))
    assert not channel.waiting
    return channel
