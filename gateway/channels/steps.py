"""What the machine of a channel says is done: with the broker, the clock and the subscribers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from gateway.channel_broker.base import ChannelBroker
from gateway.channels.fan_out import FanOut
from gateway.channels.local_channel import Event, LocalChannel
from gateway.channels.looks import Looks
from gateway.channels.reads import Reads
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.metrics import Counters
from gateway.protocol.channel_steps import (
    Deliver,
    Insufficient,
    Linger,
    Read,
    Refuse,
    Release,
    Reply,
    Settle,
    Step,
    Subscribe,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import History, Publication
from gateway.protocol.worker_channel import LINGER_S, State

log = get_logger(__name__)

TICK_S: Final = 0.25
LOOKS_PER_S: Final = 400


class Steps:
    """Carries out steps, in order, and takes their answers back to the machine.

    Args:
        forget: A connection has not subscribed to a channel any more.
        released: Nobody has, and the broker's subscription is given back.
        jitter: From 0 to 1.
    """

    def __init__(
        self,
        broker: ChannelBroker,
        fan_out: FanOut,
        counters: Counters,
        *,
        forget: Callable[[ConnectionId, str], object],
        released: Callable[[LocalChannel], None],
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._broker = broker
        self._fan_out = fan_out
        self._counters = counters
        self._forget = forget
        self._released = released
        self._now = now
        self._reads = Reads(broker, self._was_read)
        self._looks = Looks(jitter)
        self._lingering: deque[tuple[float, LocalChannel, int]] = deque()

    async def run(self) -> None:
        """Look at the clock until cancelled."""
        try:
            while True:
                await asyncio.sleep(TICK_S)
                self.tick()
        finally:
            await self._reads.aclose()

    def opened(self, local: LocalChannel) -> None:
        """There is a channel that was not."""
        if local.history is not None:
            self._looks.plan(local, self._now())

    def tick(self) -> None:
        """Do what is due."""
        now = self._now()
        while self._lingering and self._lingering[0][0] <= now:
            _, local, number = self._lingering.popleft()
            self.happen(local, partial(local.machine.lingered, number))
        for local in self._looks.due(now, most=int(LOOKS_PER_S * TICK_S)):
            if local.machine.owes_look or not local.machine.empty:
                self.happen(local, local.machine.look)

    # Steps

    def happen(self, local: LocalChannel, event: Event) -> None:
        """Take in an event, and do what it leads to before the next one is taken in.

        A step may tell a subscriber that then asks for something here: that is the next event.
        """
        if local.busy:
            local.events.append(event)
            return
        local.busy = True
        try:
            self._take(local, event)
            while local.events:
                self._take(local, local.events.popleft())
        finally:
            local.busy = False
        if local.machine.state is State.RELEASED and not local.subscribers:
            self._looks.forget(local)
            self._released(local)

    def arrived(
        self,
        local: LocalChannel,
        epoch: str,
        publications: Sequence[Publication],
        *,
        at_once: bool = False,
    ) -> None:
        """Take in publications of one epoch, in the order in which they have come.

        Args:
            at_once: Nothing else has come with them.
        """
        rest = publications
        while rest:
            count = 0 if local.busy else local.machine.arrived_for_everybody(epoch, rest)
            if count:
                self._deliver(local, rest[:count], at_once=at_once)
            else:
                count = 1
                self.happen(local, partial(local.machine.arrived, epoch, rest[0]))
            rest = rest[count:]

    def _deliver(
        self, local: LocalChannel, publications: Sequence[Publication], *, at_once: bool
    ) -> None:
        """To everybody, as one event."""
        local.busy = True
        try:
            if at_once:
                self._fan_out.at_once(local, publications)
            else:
                everybody = local.machine.everybody
                self._fan_out.publications(local.name, publications, everybody, local.subscribers)
        except Exception:
            log.exception("step of a channel failed", step=Deliver.__name__)
        finally:
            local.busy = False
        if local.events:
            self.happen(local, local.events.popleft())

    def _take(self, local: LocalChannel, event: Event) -> None:
        try:
            steps = event()
        except Exception:  # the next events are of others
            log.exception("step of a channel failed", step="event")
            self._fault(local)
            return
        for step in steps:
            try:
                self._do(local, step)
            except Exception:
                log.exception("step of a channel failed", step=type(step).__name__)
                if isinstance(step, Subscribe):  # nothing else would answer it
                    self.happen(local, partial(local.machine.failed, step.number))
                else:
                    self._fault(local)

    def _fault(self, local: LocalChannel) -> None:
        """Somebody may wait for what has failed: a look answers them, or they are refused."""
        machine = local.machine
        if local.history is not None and machine.state is not State.RELEASED:
            self._looks.retry(local, self._now())
        awaited: Collection[ConnectionId] = machine.waiting
        if machine.state is not State.SUBSCRIBING and local.history is None:
            awaited = ()
        for connection in list(local.subscribers):
            if connection not in awaited and not local.is_live(connection):
                self._refuse(local, connection)
                self.happen(local, partial(machine.leave, connection))

    def _do(self, local: LocalChannel, step: Step) -> None:
        match step:
            case Deliver(publication, to):
                self._fan_out.publications(local.name, (publication,), to, local.subscribers)
            case Reply():
                self._reply(local, step)
            case Refuse(connection):
                self._refuse(local, connection)
            case Insufficient():
                self._insufficient(local, step)
            case Linger(number):
                self._lingering.append((self._now() + LINGER_S, local, number))
            case _:
                self._ask(local, step)

    def _ask(self, local: LocalChannel, step: Subscribe | Release | Read | Settle) -> None:
        match step:
            case Subscribe(number):
                asked = self._broker.subscribe(local.name)
                asked.add_done_callback(partial(self._acknowledged, local, number))
            case Release():
                self._broker.unsubscribe(local.name)
            case Read():
                self._reads.begin(local, step)
            case Settle(number):
                self._broker.settle(local.name).add_done_callback(
                    partial(self._settled, local, number)
                )

    def _reply(self, local: LocalChannel, reply: Reply) -> None:
        if reply.recovered is not None:
            self._counters.recoveries["recovered" if reply.recovered else "not_recovered"] += 1
        subscriber = local.subscribers.get(reply.subscriber)
        if subscriber is not None:
            subscriber.subscribed(local.name, reply)

    def _refuse(self, local: LocalChannel, connection: ConnectionId) -> None:
        subscriber = local.remove(connection)
        if subscriber is not None:
            self._forget(connection, local.name)
            error = BrokerUnavailable("the broker does not answer")
            subscriber.not_subscribed(local.name, error)

    def _insufficient(self, local: LocalChannel, step: Insufficient) -> None:
        self._counters.channel_gaps[step.why.name.lower()] += 1
        for connection in step.subscribers:
            subscriber = local.remove(connection)
            if subscriber is not None:
                self._forget(connection, local.name)
                try:
                    subscriber.insufficient(local.name)
                except Exception:  # the next ones are to be told all the same
                    log.exception("step of a channel failed", step=Insufficient.__name__)

    # Answers

    def _acknowledged(self, local: LocalChannel, number: int, answer: asyncio.Future[None]) -> None:
        machine = local.machine
        if not _failed(answer):
            self.happen(local, partial(machine.acknowledged, number))
        self.happen(local, partial(machine.failed, number))  # nothing, once it is acknowledged

    def _settled(self, local: LocalChannel, number: int, answer: asyncio.Future[None]) -> None:
        if not _failed(answer):  # otherwise a resync follows
            self.happen(local, partial(local.machine.settled, number))

    def _was_read(self, local: LocalChannel, number: int, history: History | None) -> None:
        if history is not None:
            local.failures = 0
            local.heard_at = self._now()
            self.happen(local, partial(local.machine.read, number, history))
            return
        if local.machine.state is not State.RELEASED:
            self._looks.retry(local, self._now())
        self.happen(local, partial(local.machine.read_failed, number))


def _failed(answer: asyncio.Future[None]) -> bool:
    if answer.cancelled():
        return True
    error = answer.exception()
    if error is not None and not isinstance(error, BrokerUnavailable):
        log.error("channel broker failed", exc_info=error)
    return error is not None
