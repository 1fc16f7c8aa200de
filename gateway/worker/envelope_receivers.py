"""Who takes which kind of envelope."""

from __future__ import annotations

from gateway.channels.lists import ChannelLists
from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.cluster.membership import Membership
from gateway.handlers.dispatcher import Dispatcher
from gateway.handlers.runner import Runner
from gateway.messaging.owner_receipts import OwnerReceipts
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.envelopes.dispatching import (
    Admitted,
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
from gateway.protocol.envelopes.hooks import DispatchHook, HookAnswered, HookDenied
from gateway.protocol.envelopes.loopback import Probe
from gateway.protocol.envelopes.membership import Arrived, Gone, Leaving
from gateway.protocol.envelopes.reporting import Watched
from gateway.protocol.envelopes.requests_to_owners import (
    Disconnect,
    Inquire,
    ListChannels,
    Receipted,
    Send,
    SubscribeConnection,
    UnsubscribeConnection,
)
from gateway.protocol.envelopes.traced import (
    TracedDisconnect,
    TracedDispatch,
    TracedDispatchConnect,
    TracedDispatchDisconnect,
    TracedDispatchHook,
    TracedInquire,
    TracedSend,
    TracedSubscribeConnection,
    TracedUnsubscribeConnection,
)
from gateway.protocol.ids import WorkerId
from gateway.worker.inbox import Inbox
from gateway.worker.live_report import LiveReport


def register_dispatching(inbox: Inbox, *, runner: Runner, dispatcher: Dispatcher) -> None:
    inbox.register(Introduce, runner.introduce)
    inbox.register(Forget, runner.forget)
    inbox.register(Dispatch, runner.dispatch)
    inbox.register(DispatchConnect, runner.dispatch)
    inbox.register(DispatchDisconnect, runner.dispatch)
    inbox.register(Reply, dispatcher.settle)
    inbox.register(Failed, dispatcher.settle)
    inbox.register(Admitted, dispatcher.settle)
    inbox.register(Rejected, dispatcher.settle)
    inbox.register(Blocking, dispatcher.blame)
    inbox.register(DispatchHook, runner.dispatch)
    inbox.register(HookAnswered, dispatcher.settle)
    inbox.register(HookDenied, dispatcher.settle)
    inbox.register(TracedDispatch, runner.dispatch)
    inbox.register(TracedDispatchConnect, runner.dispatch)
    inbox.register(TracedDispatchDisconnect, runner.dispatch)
    inbox.register(TracedDispatchHook, runner.dispatch)


def register_owner_requests(
    inbox: Inbox,
    *,
    requests: RequestsToOwners,
    responses: OwnerReceipts,
    channel_lists: ChannelLists,
) -> None:
    inbox.register(Send, responses.asked)
    inbox.register(TracedSend, responses.asked)
    inbox.register(Disconnect, responses.asked)
    inbox.register(Inquire, responses.asked)
    inbox.register(SubscribeConnection, responses.asked)
    inbox.register(UnsubscribeConnection, responses.asked)
    inbox.register(TracedDisconnect, responses.asked)
    inbox.register(TracedInquire, responses.asked)
    inbox.register(TracedSubscribeConnection, responses.asked)
    inbox.register(TracedUnsubscribeConnection, responses.asked)
    inbox.register(ListChannels, channel_lists.asked)
    inbox.register(Receipted, requests.answered)


def register_cluster(
    inbox: Inbox, *, me: WorkerId, membership: Membership, loopback_probe: LoopbackProbe
) -> None:
    def returned(peer: WorkerId, probe: Probe) -> None:
        if peer == me:
            loopback_probe.back(probe.token)

    def told(_peer: WorkerId, news: Arrived | Leaving | Gone) -> None:
        membership.news(news)

    inbox.register(Arrived, told)
    inbox.register(Leaving, told)
    inbox.register(Gone, told)
    inbox.register(Probe, returned)


def register_reports(inbox: Inbox, *, live_report: LiveReport) -> None:
    def watched(_peer: WorkerId, _envelope: Watched) -> None:
        live_report.watched()

    inbox.register(Watched, watched)
