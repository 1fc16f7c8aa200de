"""Subscribing that fails when it takes too long."""

from __future__ import annotations

import asyncio
from typing import Protocol

from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress


class Subscribing(Protocol):
    """``Subscriptions``, or those at all masters of a Cluster."""

    def add(self, channel: bytes, name: str) -> asyncio.Future[None]: ...

    def remove(self, channel: bytes) -> None: ...


def add_in_time(
    subscriptions: Subscribing, channel: bytes, name: str, address: RedisAddress
) -> asyncio.Future[None]:
    """See ``Subscriptions.add``. What is not acknowledged in ``REDIS_DEADLINE_S`` is removed.

    Then it fails with BrokerUnavailable, and says that ``address`` was late.
    """
    subscribed = subscriptions.add(channel, name)
    if not subscribed.done():

        def give_up() -> None:
            if not subscribed.done():
                why = f"{address.display} has not acknowledged in {REDIS_DEADLINE_S:.0f} s"
                subscribed.set_exception(BrokerUnavailable(why))
                subscriptions.remove(channel)

        late = asyncio.get_running_loop().call_later(REDIS_DEADLINE_S, give_up)
        subscribed.add_done_callback(lambda _: late.cancel())
    return subscribed
