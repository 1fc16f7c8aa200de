"""What arrives at a worker, and who it is for. Nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.broker.base import Resync
from gateway.handlers.runner import Runner
from gateway.log import get_logger
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.messaging.owner_requests import OwnerRequests
from gateway.messaging.owner_responses import OwnerResponses
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import (
    Admitted,
    Answer,
    Blocking,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Failed,
    Forget,
    Introduce,
    Rejected,
    Reply,
)
from gateway.protocol.envelopes.kinds import Envelope
from gateway.protocol.envelopes.loopback import Probe
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
from gateway.protocol.envelopes.owner_requests import Disconnect, Inquire, Receipted, Send
from gateway.protocol.ids import WorkerId

log = get_logger(__name__)


class News(Protocol):
    """Who wants to hear of workers and canaries."""

    def probe_back(self, token: int) -> None: ...

    def worker_news(self, envelope: Arrived | Leaving | Gone) -> None: ...


class Asked(Protocol):
    """Who keeps what handler workers were asked (``gateway.handlers.dispatch``)."""

    def settle_parted(self, worker: WorkerId, answer: Answer) -> None: ...

    def blame(self, worker: WorkerId, blocking: Blocking) -> None: ...


class Inbox:
    """The receiver of a worker's subscriptions (``gateway.broker.base.Receiver``)."""

    def __init__(
        self,
        *,
        links: Links,
        hub: Hub,
        runner: Runner,
        asked: Asked,
        owner: OwnerResponses,
        owner_requests: OwnerRequests,
        news: News,
        counters: Counters,
        heard: Callable[[], None],
    ) -> None:
        self._links = links
        self._hub = hub
        self._runner = runner
        self._asked = asked
        self._owner = owner
        self._owner_requests = owner_requests
        self._news = news
        self._counters = counters
        self._heard = heard
        links.deliver = self.deliver

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        self._heard()
        for _, payload in deliveries:
            self._links.receive(payload)
        if self._runner.waking:
            self._links.publish_soon()  # right after them, and with their answers

    def on_resync(self, resync: Resync) -> None:  # noqa: ARG002 (the broker logs it)
        """Batches may be missing: peers are asked, and nobody above the links notices."""
        self._counters.resyncs += 1
        self._links.resync()

    def deliver(self, peer: WorkerId, envelopes: Sequence[Envelope]) -> None:
        """Hand out what ``peer`` sent. An envelope that breaks its receiver harms no other."""
        for envelope in envelopes:
            try:
                self._hand_out(peer, envelope)
            except Exception:
                self._counters.unreadable += 1
                log.exception("envelope failed", kind=type(envelope).__name__, from_worker=peer)

    def _hand_out(self, peer: WorkerId, envelope: Envelope) -> None:
        match envelope:
            case Reply() | Failed() | Admitted() | Rejected():
                member = self._hub.get(envelope.connection)
                if member is not None:
                    member.settle(peer, envelope)
                else:
                    self._asked.settle_parted(peer, envelope)
            case Dispatch() | DispatchConnect() | DispatchDisconnect():
                self._runner.dispatch(peer, envelope)
            case Introduce():
                self._runner.introduce(peer, envelope)
            case Forget():
                self._runner.forget(peer, envelope)
            case _:
                self._hand_out_rest(peer, envelope)

    def _hand_out_rest(self, peer: WorkerId, envelope: Envelope) -> None:
        match envelope:
            case Send() | Disconnect() | Inquire():
                self._owner.asked(peer, envelope)
            case Receipted():
                self._owner_requests.answered(peer, envelope)
            case Blocking():
                self._asked.blame(peer, envelope)
            case Probe():
                if peer == self._links.me:
                    self._news.probe_back(envelope.token)
            case Arrived() | Leaving() | Gone():
                self._news.worker_news(envelope)
