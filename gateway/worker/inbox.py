"""What arrives at a worker, and who it is for. Nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from gateway.broker.base import Resync
from gateway.handlers.runner import Runner
from gateway.log import get_logger
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.metrics import Counters
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.ids import WorkerId

log = get_logger(__name__)

_Kind = TypeVar("_Kind", bound=Envelope)


class Inbox:
    """A worker's inbox: the receiver of its subscriptions (``gateway.broker.base.Receiver``).

    Args:
        heard: Called before whatever has come in is looked at.
    """

    def __init__(
        self,
        *,
        links: Links,
        hub: Hub,
        runner: Runner,
        counters: Counters,
        heard: Callable[[], None],
    ) -> None:
        self._links = links
        self._hub = hub
        self._runner = runner
        self._counters = counters
        self._heard = heard
        self._receivers: dict[type[Envelope], Callable[[WorkerId, Any], None]] = {}
        self._complained: set[type[Envelope]] = set()
        links.deliver = self.deliver

    def register(self, kind: type[_Kind], receiver: Callable[[WorkerId, _Kind], None]) -> None:
        """Give envelopes of this kind, and the worker that sent each, to ``receiver``.

        Raises:
            ValueError: Somebody receives them already.
        """
        if kind in self._receivers:
            raise ValueError(f"{kind.__name__} has a receiver already")
        self._receivers[kind] = receiver

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        self._heard()
        self._hub.gather()
        try:
            for _, payload in deliveries:
                self._links.receive(payload)
        finally:
            self._hub.flush_gathered()
        if self._runner.waking:
            self._links.publish_soon()  # right after them, and with their answers

    def on_resync(self, resync: Resync) -> None:  # noqa: ARG002 (the broker logs it)
        """Batches may be missing: peers are asked, and nobody above the links notices."""
        self._counters.resyncs += 1
        self._links.resync()

    def deliver(self, peer: WorkerId, envelopes: Sequence[Envelope]) -> None:
        """Hand out what ``peer`` sent. An envelope that breaks its receiver harms no other."""
        receivers = self._receivers
        for envelope in envelopes:
            receiver = receivers.get(type(envelope))
            if receiver is None:
                self._drop(peer, envelope)
                continue
            try:
                receiver(peer, envelope)
            except Exception:
                self._counters.unreadable += 1
                log.exception("envelope failed", kind=type(envelope).__name__, from_worker=peer)

    def _drop(self, peer: WorkerId, envelope: Envelope) -> None:
        self._counters.unreadable += 1
        kind = type(envelope)
        if kind not in self._complained:
            self._complained.add(kind)
            log.error("envelope without receiver", kind=kind.__name__, from_worker=peer)
