"""Answers keep coming to a client of a Cluster: to another inbox, when that of before is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.backend_client.receipt_inbox import ClientInbox
from gateway.broker.base import Broker
from gateway.log import get_logger
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys

log = get_logger(__name__)

LOOK_S: Final = 1.0
STANDS_S: Final = 0.5  # that a subscription may take: a slot that moves is there sooner
MAX_DRAWS: Final = 200  # for one look, 2 ms
MAX_INBOXES: Final = 16  # none is ever given up, and each is at another master than those before


class InboxWatch:
    """Sees that the inbox is subscribed to, and has answers go to another one while it is not.

    An inbox has a slot of its own. While the master of that is away the gateway still writes what
    it is asked to write, and no answer says so: each receipt is UNREACHABLE. What was asked before
    the change stays without its answer.

    Args:
        draw: An id that nobody has.
    """

    def __init__(
        self, inbox: ClientInbox, broker: Broker, prefix: str, *, draw: Callable[[], WorkerId]
    ) -> None:
        self._inbox = inbox
        self._broker = broker
        self._prefix = prefix
        self._draw = draw
        # Those of before are subscribed to for ever: late answers come there, and they are taken
        # again before another is drawn.
        self._subscribing: dict[WorkerId, asyncio.Task[None]] = {}
        self._said = False  # that answers come nowhere: once an outage

    async def run(self) -> None:
        """Look now and then, until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                if await self._stands(self._inbox.me) or await self._change():
                    self._said = False
                elif not self._said:
                    self._said = True
                    where = self._broker.where(keys.inbox(self._prefix, self._inbox.me))
                    log.warning("answers come to no inbox", client=self._inbox.me, where=where)
        finally:
            for subscribing in self._subscribing.values():
                subscribing.cancel()

    async def _change(self) -> bool:
        """Whether there is another one that stands."""
        before = self._inbox.me
        for one in [*self._subscribing]:
            if one != before and self._within_reach(one) and await self._stands(one):
                self._take(one)
                return True
        drawn = self._drawn() if len(self._subscribing) < MAX_INBOXES else None
        if drawn is None or not await self._stands(drawn):
            return False
        self._take(drawn)
        return True

    def _take(self, me: WorkerId) -> None:
        where = self._broker.where(keys.inbox(self._prefix, self._inbox.me))
        log.warning("answers come to another inbox", client=me, where=where)
        self._inbox.me = me

    def _drawn(self) -> WorkerId | None:
        drawn = (self._draw() for _ in range(MAX_DRAWS))
        return next((one for one in drawn if self._within_reach(one)), None)

    def _within_reach(self, me: WorkerId) -> bool:
        return self._broker.route(keys.inbox(self._prefix, me)).connected

    async def _stands(self, me: WorkerId) -> bool:
        """Whether it is subscribed to, or is within ``STANDS_S``."""
        subscribing = self._subscribing.get(me)
        if subscribing is None or subscribing.done():
            subscribing = asyncio.create_task(
                self._broker.subscribe(keys.inbox(self._prefix, me)), name="client inbox"
            )
            self._subscribing[me] = subscribing
        await asyncio.wait({subscribing}, timeout=STANDS_S)
        return subscribing.done() and subscribing.exception() is None
