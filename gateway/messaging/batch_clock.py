"""When batches leave: one PUBLISH at a time, which carries all that collected since the last.

The end of a PUBLISH is a clock, and a batch that is alone needs none: where the broker was prompt a
moment ago, a small one leaves quietly. To be told of it would wake this worker once more for
a message, and the broker once more for a write.

Callbacks, and no task that waits: it would be woken twice a batch, and while batches are small that
is a good part of what a message costs. They run in the context in which ``run`` was called, and not
in that of whoever sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import copy_context
from typing import Final, Protocol

from gateway.broker.base import Payload, Publisher
from gateway.errors import BrokerUnavailable

TICK_S: Final = 0.025
RETRY_S: Final = 0.1
QUIET_S: Final = 0.025  # after being told: then it is time to be told again
PROMPT_S: Final = 0.005  # a broker that takes longer is what batches are for
QUIET_BYTES: Final = 1024  # a larger batch was not alone


class Batches(Protocol):
    """What is to be published (``gateway.messaging.lane``). Nothing here waits."""

    def collect(self, *, interrupted: bool) -> Sequence[tuple[str, Payload]]:
        """All that leaves now: channels and payloads.

        Args:
            interrupted: What left last may not have left at all.
        """
        ...

    def published(self, receivers: Sequence[int]) -> None:
        """How many subscribers each of those that were collected last has reached."""
        ...

    def cannot_leave(self) -> None:
        """The broker is away: number what has collected, and drop what is of no use later."""
        ...

    @property
    def owing(self) -> bool:
        """Whether anything may become due by the passing of time alone."""
        ...

    def tick(self) -> bool:
        """Some time has passed. Returns whether something has become due."""
        ...


class BatchClock:
    """Publishes what has collected, until ``run`` is cancelled."""

    def __init__(self, broker: Publisher, batches: Batches) -> None:
        self._broker = broker
        self._batches = batches
        self._work = False  # something is to be published
        self._scheduled = False
        self._under_way = False
        self._interrupted = False
        self._left_at = 0.0  # the last of which we are told
        self._alone = False  # it was small, and for one
        self._quiet_until = 0.0
        self._losses = broker.losses
        # Once it runs. To ask for it asks for the id of the process, up to Python 3.11.
        self._loop: asyncio.AbstractEventLoop
        self._running: asyncio.Future[None] | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self._context = copy_context()

    async def run(self) -> None:
        """Publish what has collected, until cancelled. Raises what goes wrong otherwise."""
        self._context = copy_context()
        self._loop = asyncio.get_running_loop()
        running = self._running = self._loop.create_future()
        if self._work:
            self.publish_soon()
        self.tick_while_needed()
        try:
            await running
        finally:
            self._running = None
            if self._ticking is not None:
                self._ticking.cancel()
                self._ticking = None

    def publish_soon(self) -> None:
        """After this turn of the loop: what else it brings leaves with it.

        Whoever starts something that will send in the next turn may call it before, and what is
        sent then need not wait for another turn.
        """
        self._work = True
        if not self._scheduled and not self._under_way and self._running is not None:
            self._scheduled = True
            self._loop.call_soon(self._publish, context=self._context)

    def tick_while_needed(self) -> None:
        """One timer for all, only while something is owed."""
        if self._running is not None and self._ticking is None and self._batches.owing:
            self._ticking = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._ticking = None
        if self._broker.losses != self._losses:  # and what left quietly is perhaps lost with it
            self._losses = self._broker.losses
            self._interrupted = True
            self.publish_soon()
        if self._batches.tick():
            self.publish_soon()
        self.tick_while_needed()

    def _publish(self) -> None:
        self._scheduled = False
        running = self._running
        if running is None or running.done():
            return
        try:
            if not self._broker.connected:
                self._wait_for_broker()
                return
            self._work = False
            interrupted, self._interrupted = self._interrupted, False
            outgoing = self._batches.collect(interrupted=interrupted)
            if not outgoing:
                return
            now = self._loop.time()
            channel, payload = outgoing[0]
            self._alone = (
                len(outgoing) == 1 and isinstance(payload, bytes) and len(payload) <= QUIET_BYTES
            )
            if (
                self._alone
                and now < self._quiet_until
                and isinstance(payload, bytes)
                and self._broker.publish_quietly(channel, payload)
            ):
                self.tick_while_needed()
                return
            self._left_at = now
            self._under_way = True
            published = self._broker.publish(outgoing)
            published.add_done_callback(self._published, context=self._context)
        except Exception as error:
            running.set_exception(error)

    def _published(self, published: asyncio.Future[list[int]]) -> None:
        try:
            self._batches.published(published.result())
            now = self._loop.time()
            # Under load what is left over of a batch is small too: it is to wait for the next.
            prompt = self._alone and now - self._left_at < PROMPT_S
            self._quiet_until = now + QUIET_S if prompt else 0.0
            self._go_on()
        except BrokerUnavailable:
            # What is numbered is kept and will be sent again; the rest were hints.
            if not self._broker.connected:
                self._interrupted = self._work = True
            self._loop.call_later(RETRY_S, self._go_on)
        except Exception as error:
            if self._running is not None and not self._running.done():
                self._running.set_exception(error)

    def _go_on(self) -> None:
        self._under_way = False
        self.tick_while_needed()
        if self._work:
            self._publish()

    def _wait_for_broker(self) -> None:
        self._interrupted = self._under_way = True
        self._batches.cannot_leave()
        self._loop.call_later(RETRY_S, self._go_on)
