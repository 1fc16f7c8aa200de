"""One channel at one worker: the order of subscribing, and who is sent what.

The first local subscriber: SUBSCRIBE and its acknowledgement; read the history; reply; then live.
What arrives meanwhile is held, and merged with what was read. Who comes later needs a read only if
it has missed something, and shares it with the others. The subscription is given back when
nobody has been there for ``LINGER_S``.

Pure: each event returns the *steps* that it leads to. They are taken in order, and before the next
event: a subscriber is live from its reply on, and sent nothing before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Final

from gateway.protocol.channel_joining import Joining, Reading, oldest_to_read
from gateway.protocol.channel_position import Arrival, Break, ChannelPosition, Look, Position
from gateway.protocol.channel_steps import (
    Deliver,
    Insufficient,
    Linger,
    Read,
    Refuse,
    Release,
    Settle,
    Step,
    Subscribe,
    Wish,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import History, Publication

LINGER_S: Final = 1.0  # who comes back at once finds the subscription as it was
LOOK_S: Final = 40.0  # between two looks at the top of a silent channel


class State(Enum):
    """How the worker stands to the broker."""

    RELEASED = auto()  # not subscribed
    SUBSCRIBING = auto()  # asked for; what arrives before the acknowledgement counts for nothing
    SUBSCRIBED = auto()
    LINGERING = auto()  # subscribed, and nobody is here


class Event(Enum):
    """What moves it."""

    JOIN = auto()
    ACKNOWLEDGED = auto()
    FAILED = auto()
    EMPTY = auto()  # the last subscriber has left
    LINGERED = auto()


# Any other pair leaves the state as it is.
TRANSITIONS: Final = {
    (State.RELEASED, Event.JOIN): State.SUBSCRIBING,
    (State.SUBSCRIBING, Event.ACKNOWLEDGED): State.SUBSCRIBED,
    (State.SUBSCRIBING, Event.FAILED): State.RELEASED,
    (State.SUBSCRIBED, Event.EMPTY): State.LINGERING,
    (State.LINGERING, Event.JOIN): State.SUBSCRIBED,
    (State.LINGERING, Event.LINGERED): State.RELEASED,
}


class WorkerChannel:
    """The subscribers of one channel at one worker, and the worker's position in it.

    Attributes:
        positioned: Subscribers that are live, and told when publications are missing.
        others: Subscribers that are live, and sent whatever arrives.
        waiting: Who wants to subscribe, in order.
        everybody: Those that are live.
        owes_look: The broker may have lost publications, and no read has told yet: call ``look``
            until it is False.
    """

    def __init__(self) -> None:
        self.state = State.RELEASED
        self.positioned: dict[ConnectionId, None] = {}  # a set that keeps its order
        self.others: dict[ConnectionId, None] = {}
        self._joining = Joining()
        self.waiting = self._joining.wishes
        self._held = self._joining.held
        self.owes_look = False
        self.everybody = (self.positioned, self.others)
        self._only_others = (self.others,)
        self._position = ChannelPosition()
        self._reading: Reading | None = None
        self._settling: tuple[int, Look, Position] | None = None
        self._number = 0  # of the last step that has one: an answer to an older one is stale
        self._asked = 0  # the number of the SUBSCRIBE, and of the last linger

    @property
    def position(self) -> Position | None:
        return self._position.position

    @property
    def empty(self) -> bool:
        return not (self.positioned or self.others or self.waiting)

    # Coming and going

    def join(self, subscriber: ConnectionId, wish: Wish) -> list[Step]:
        """Somebody subscribes who has not: a second time is refused by its session (error 105)."""
        released = self.state is State.RELEASED
        self.waiting[subscriber] = wish
        self._move(Event.JOIN)
        if released:
            self._asked = self._next_number()
            return [Subscribe(self._asked)]
        return [] if self.state is State.SUBSCRIBING else self._answer([subscriber])

    def leave(self, subscriber: ConnectionId) -> list[Step]:
        """It unsubscribes, or its connection has closed. Nothing if it is not here."""
        if subscriber in self.waiting:
            self._joining.take(subscriber)
        elif subscriber in self.positioned:
            del self.positioned[subscriber]
        elif subscriber in self.others:
            del self.others[subscriber]
        else:
            return []
        return self._linger_if_empty()

    def lingered(self, number: int) -> list[Step]:
        """Nobody has come back."""
        if self.state is not State.LINGERING or number != self._asked:
            return []
        self._move(Event.LINGERED)
        self._forget()
        return [Release()]

    # The broker

    def acknowledged(self, number: int) -> list[Step]:
        """Publications will arrive from now on."""
        if self.state is not State.SUBSCRIBING or number != self._asked:
            return []
        self._move(Event.ACKNOWLEDGED)
        return self._answer(list(self.waiting)) + self._linger_if_empty()

    def failed(self, number: int) -> list[Step]:
        """The broker does not take the subscription."""
        if self.state is not State.SUBSCRIBING or number != self._asked:
            return []
        self._move(Event.FAILED)
        return self._refuse()

    def arrived(self, epoch: str, publication: Publication) -> list[Step]:
        """A publication was delivered."""
        if self.state in (State.RELEASED, State.SUBSCRIBING):
            return []
        if not publication.offset:
            return [Deliver(publication, self.everybody)]
        found = self._position.arrived(Position(epoch, publication.offset))
        if found is Arrival.NEXT:
            if self._reading is not None:
                self._held.append(publication)
            if self._joining.ahead:
                return self._arrived_for_those_ahead(publication)
            return [Deliver(publication, self.everybody)]
        delivered: list[Step] = [Deliver(publication, self._only_others)]
        if isinstance(found, Break):
            return delivered + self._broken(found)
        return delivered

    def arrived_for_everybody(self, epoch: str, publications: Sequence[Publication]) -> int:
        """Take in the first of these, delivered in this order, as far as each leads to nothing but
        one ``Deliver`` to ``everybody``. To be delivered before the next event.

        Returns:
            How many. The next one of them is for ``arrived``.
        """
        if self.state in (State.RELEASED, State.SUBSCRIBING):
            return 0
        if not publications[0].offset:
            if len(publications) == 1:
                return 1
            kept = (number for number, one in enumerate(publications) if one.offset)
            return next(kept, len(publications))
        if self._joining.ahead:
            return 0
        count = self._position.advance(epoch, (offset for offset, _ in publications))
        if self._reading is not None:
            for publication in publications[:count]:
                self._held.append(publication)
        return count

    def resync(self) -> list[Step]:
        """Publications may have been lost, and the subscription stands again."""
        if self.state in (State.RELEASED, State.SUBSCRIBING):
            return []
        self.owes_look = True
        return self.look()

    def look(self) -> list[Step]:
        """Compare with the top: every ``LOOK_S`` of silence, and while ``owes_look``.

        A read that is under way is superseded: it may be from before what was lost.
        """
        if self.state in (State.RELEASED, State.SUBSCRIBING):
            return []
        return self._read(self.waiting.values())

    # Reads

    def read(self, number: int, history: History) -> list[Step]:
        """The answer to ``Read``."""
        reading = self._reading
        if reading is None or number != reading.number:
            return []
        self._reading = None
        self.owes_look = False
        steps: list[Step] = []
        broken = self._position.read(reading.look, history.top)
        if broken is not None:
            steps.append(self._break(broken))
        steps += self._answer(self._joining.covered_by(reading), history)
        others = self._joining.not_ahead()
        if others and self._reading is None:
            steps += self._answer(others)
        if self._reading is None:
            self._held.clear()
        if self._position.unsettled(history.top):
            self._settling = (self._next_number(), reading.look, history.top)
            steps.append(Settle(self._settling[0]))
        return steps + self._linger_if_empty()

    def read_failed(self, number: int) -> list[Step]:
        """Nobody knows the history now. Who waits for it is refused."""
        if self._reading is None or number != self._reading.number:
            return []
        self._reading = None
        self._held.clear()
        return self._refuse() + self._linger_if_empty()

    def settled(self, number: int) -> list[Step]:
        """What was published before ``Settle`` has arrived, or never will."""
        if self._settling is None or number != self._settling[0]:
            return []
        _, look, top = self._settling
        self._settling = None
        broken = self._position.settled(look, top)
        return self._broken(broken) if broken is not None else []

    # Rules

    def _answer(
        self, joining: Iterable[ConnectionId], history: History | None = None
    ) -> list[Step]:
        """Reply to those that can be answered, and read for those that cannot."""
        steps: list[Step] = []
        for subscriber in joining:
            reply = self._joining.reply(subscriber, self._position, history)
            if reply is not None:
                self._go_live(subscriber)
                steps.append(reply)
        unread = [self.waiting[who] for who in self._joining.not_ahead()]
        if unread and self._reading is None and history is None:
            steps += self._read(unread)
        return steps

    def _go_live(self, subscriber: ConnectionId) -> None:
        wish = self._joining.take(subscriber)
        (self.positioned if wish.positioned else self.others)[subscriber] = None

    def _arrived_for_those_ahead(self, publication: Publication) -> list[Step]:
        """Deliver the next one; who has it already, and has waited for it, is live after it."""
        there = self._joining.there_at(publication.offset)
        if not there:
            return [Deliver(publication, self.everybody)]
        before = tuple(self.positioned), tuple(self.others)
        return [Deliver(publication, before), *self._answer(there)]

    def _broken(self, why: Break) -> list[Step]:
        """The position was set anew. Who waits is answered from a read that begins after it."""
        steps: list[Step] = [self._break(why)]
        if self.waiting:
            steps += self._read(self.waiting.values())
        return steps + self._linger_if_empty()

    def _break(self, why: Break) -> Step:
        self._joining.position_broken()
        told = tuple(self.positioned)
        self.positioned.clear()
        return Insufficient(told, why)

    def _refuse(self) -> list[Step]:
        return [Refuse(subscriber) for subscriber in self._joining.take_all()]

    def _read(self, wishes: Iterable[Wish]) -> list[Step]:
        """Begin a read that covers these wishes, but for those that no read would help."""
        after = oldest_to_read(wishes, self._position.position)
        self._reading = Reading(self._next_number(), after, self._position.look())
        return [Read(self._reading.number, after)]

    def _linger_if_empty(self) -> list[Step]:
        if self.state is not State.SUBSCRIBED or not self.empty:
            return []
        self._move(Event.EMPTY)
        self._asked = self._next_number()
        return [Linger(self._asked)]

    def _forget(self) -> None:
        """Answers that come after the release are stale, and so is the position."""
        self._position = ChannelPosition()
        self._reading = self._settling = None
        self._held.clear()
        self.owes_look = False

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS.get((self.state, event), self.state)
