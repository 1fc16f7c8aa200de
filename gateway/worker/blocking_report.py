"""What a worker still says while its event loop is held: which message it is that holds it.

Its lease ends meanwhile, and others take over what it owes. Without a word from it that message
would be handed on like all others, and hold up the next worker. Called from the thread of
``gateway.worker.loop_watch``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.broker.base import Broker
from gateway.errors import BrokerUnavailable
from gateway.handlers.queue import AnyDispatch
from gateway.log import get_logger
from gateway.protocol.envelopes.dispatching import Blocking
from gateway.protocol.envelopes.wire import hint
from gateway.protocol.ids import WorkerId

log = get_logger(__name__)

SHARE_OF_LEASE: Final = 0.5  # a lease has 0.7 of its time left at least when a handler begins


class BlockingReport:
    """Tells the edge whose message it is.

    Args:
        at_work: What the loop is held by, and the edge that waits for its answer.
        channel_of: The inbox channel of a worker.
        deadline_s: For saying it.
    """

    def __init__(
        self,
        me: WorkerId,
        broker: Broker,
        *,
        at_work: Callable[[asyncio.AbstractEventLoop], tuple[WorkerId, AnyDispatch] | None],
        channel_of: Callable[[WorkerId], str],
        deadline_s: float,
    ) -> None:
        self._me = me
        self._at_work = at_work
        self._broker = broker
        self._channel_of = channel_of
        self._deadline_s = deadline_s
        self._said: AnyDispatch | None = None

    def publish(self, loop: asyncio.AbstractEventLoop, held_s: float) -> None:
        """Say which message it is; again each time, since a hint may be lost."""
        found = self._at_work(loop)
        if found is None:
            return
        edge, dispatch = found
        if dispatch is not self._said:
            self._said = dispatch
            log.error(
                "handler blocks its worker",
                connection_id=dispatch.connection,
                attempt=dispatch.attempt,
                held_s=round(held_s, 1),
            )
        if edge == self._me:
            return  # its socket is held as well
        said = Blocking(dispatch.connection, dispatch.number, dispatch.attempt)
        try:
            payload, deadline_s = hint(self._me, said), self._deadline_s
            self._broker.publish_blocking(self._channel_of(edge), payload, deadline_s=deadline_s)
        except BrokerUnavailable as error:
            log.warning("blocking handler not reported", error=str(error))
