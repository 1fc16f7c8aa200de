"""The loopback probe: a worker's envelopes to itself, proof that its subscription delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from gateway.broker.base import Broker
from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.metrics import Counters
from gateway.protocol.envelopes.loopback import Probe
from gateway.protocol.envelopes.wire import hint
from gateway.protocol.ids import WorkerId
from gateway.protocol.subscription_health import Action, SubscriptionHealth

log = get_logger(__name__)


class LoopbackProbe:
    """Sends one every two seconds, more often while the worker is not ready.

    Args:
        channel: This worker's inbox.
        hopeless: Called when making the subscriptions anew has not helped for long.
    """

    def __init__(
        self,
        me: WorkerId,
        broker: Broker,
        channel: str,
        counters: Counters,
        *,
        hopeless: Callable[[], None],
        now: Callable[[], float],
    ) -> None:
        self._me = me
        self._broker = broker
        self._channel = channel
        self._counters = counters
        self._hopeless = hopeless
        self._now = now
        self._health = SubscriptionHealth(now())
        self._token = 0
        self._sent_at: dict[int, float] = {}
        self._awaited: tuple[int, Callable[[], None]] | None = None
        self._send_now = asyncio.Event()

    @property
    def ready(self) -> bool:
        """Whether the subscription has lately been seen to deliver."""
        return self._health.ready

    @property
    def age_s(self) -> float:
        return self._health.age_s(self._now())

    def heard(self) -> None:
        """Anything came in."""
        self._health.heard(self._now())

    def after_next(self, act: Callable[[], None]) -> None:
        """Call ``act`` when a probe that is sent from now on is back.

        Everything that was on its way to this worker before has then arrived.
        """
        self._awaited = (self._token + 1, act)
        self._send_now.set()

    def back(self, token: int) -> None:
        """A probe has come back."""
        now = self._now()
        self._health.back(now)
        if (sent_at := self._sent_at.pop(token, None)) is not None:
            self._counters.roundtrip_seconds.observe(now - sent_at)
        for older in [t for t in self._sent_at if t < token]:
            del self._sent_at[older]
        if self._awaited is not None and token >= self._awaited[0]:
            _, act = self._awaited
            self._awaited = None
            act()

    async def run(self) -> None:
        """Send probes and act on what they tell, until cancelled."""
        while True:
            self._send_now.clear()  # before it is sent: this one may be too early for who asks now
            await self._send()
            action = self._health.check(self._now())
            if action is Action.RESUBSCRIBE:
                log.warning("deaf: subscriptions are made anew", age_s=round(self.age_s, 1))
                self._broker.resubscribe()
            elif action is Action.DRAIN:
                self._hopeless()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._health.interval_s):
                    await self._send_now.wait()

    async def _send(self) -> None:
        self._token = token = self._token + 1
        self._sent_at[token] = self._now()
        try:
            await self._broker.publish([(self._channel, hint(self._me, Probe(token)))])
        except BrokerUnavailable:
            self._sent_at.pop(token, None)  # or an outage of a day would leave a million
            self._health.published(answered=False)
        else:
            self._health.published(answered=True)
