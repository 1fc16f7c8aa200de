"""Who wants to subscribe to a channel at one worker, and what each may be answered. Pure.

``gateway.protocol.worker_channel`` says when they are asked about, and who is live.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.protocol.channel_position import ChannelPosition, Look, Position
from gateway.protocol.channel_steps import Reply, Wish
from gateway.protocol.held_publications import HeldPublications
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import History, beyond_recovery, in_epoch, recover


@dataclass(slots=True)
class Reading:
    """A read under way, and who may be answered from it."""

    number: int
    after: int | None
    look: Look

    def covers(self, wish: Wish) -> bool:
        if wish.since is None:
            return True
        return self.after is not None and self.after <= wish.since.offset


class Joining:
    """Those who wait.

    Attributes:
        wishes: Of everybody who waits, in order.
        ahead: Of those: who is at an offset that is still to arrive here, and has to wait for that
            and for no read.
        held: What has arrived while a read is under way, to be merged with what it brings.
    """

    __slots__ = ("ahead", "held", "wishes")

    def __init__(self) -> None:
        self.wishes: dict[ConnectionId, Wish] = {}
        self.ahead: dict[ConnectionId, int] = {}
        self.held = HeldPublications()

    def take(self, subscriber: ConnectionId) -> Wish:
        """It waits no longer."""
        self.ahead.pop(subscriber, None)
        return self.wishes.pop(subscriber)

    def take_all(self) -> list[ConnectionId]:
        everybody = list(self.wishes)
        self.wishes.clear()
        self.ahead.clear()
        return everybody

    def not_ahead(self) -> list[ConnectionId]:
        return [who for who in self.wishes if who not in self.ahead]

    def covered_by(self, reading: Reading) -> list[ConnectionId]:
        return [who for who, wish in self.wishes.items() if reading.covers(wish)]

    def there_at(self, offset: int) -> list[ConnectionId]:
        """With whom the worker has caught up at this offset."""
        return [who for who, at in self.ahead.items() if at == offset]

    def position_broken(self) -> None:
        """What is held, and who is ahead, are so of a position that no longer holds."""
        self.held.clear()
        self.ahead.clear()

    def reply(
        self, subscriber: ConnectionId, worker: ChannelPosition, history: History | None
    ) -> Reply | None:
        """What one of them is answered.

        Returns:
            None: not before the next read, or not before the worker has caught up with it.
        """
        wish, position = self.wishes[subscriber], worker.position
        if not wish.positioned:
            return Reply(subscriber)
        if position is None:
            return None
        if wish.since is None:
            return Reply(subscriber, position)
        if worker.doubtful(wish.since):
            return Reply(subscriber, position, recovered=False)
        return self._recovery(subscriber, wish.since, position, history)

    def _recovery(
        self, subscriber: ConnectionId, since: Position, position: Position, history: History | None
    ) -> Reply | None:
        missed = recover(since, position, history=history, held=self.held)
        if missed is not None:
            return Reply(subscriber, position, recovered=True, publications=missed)
        if history is None and not beyond_recovery(since, position):
            return None
        if history is not None and _is_ahead(since, position, history.top):
            self.ahead[subscriber] = since.offset
            return None
        return Reply(subscriber, position, recovered=False)


def oldest_to_read(wishes: Iterable[Wish], position: Position | None) -> int | None:
    """After which offset a read covers these wishes, but for those that no read would help."""
    return min(
        (
            wish.since.offset
            for wish in wishes
            if wish.since is not None
            and (position is None or not beyond_recovery(wish.since, position))
        ),
        default=None,
    )


def _is_ahead(since: Position, position: Position, top: Position) -> bool:
    """Whether a client has rightly come further than this worker, which will catch up."""
    return (
        in_epoch(since, position.epoch)
        and top.epoch == position.epoch
        and position.offset < since.offset <= top.offset
    )
