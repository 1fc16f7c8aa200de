"""What one worker is made of, put together.

The composition root; what acts on leases is put together in ``gateway.cluster.composition``. Parts
know only those below them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from functools import lru_cache, partial

from gateway.broker.base import Broker
from gateway.channel_broker.base import ChannelBroker
from gateway.channels.channels import Channels
from gateway.channels.lists import ChannelLists
from gateway.channels.presence import ChannelPresence
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.reserved import also_reserved
from gateway.channels.stored_presence import StoredPresence
from gateway.cluster.composition import ClusterParts
from gateway.cluster.presence_sweep import PresenceSweep
from gateway.edge.admission import Admission
from gateway.edge.connection_context import ConnectionContext, ConnectionLimits
from gateway.edge.sessions.centrifuge.authentication import Authentication
from gateway.edge.sessions.centrifuge.negotiation import centrifuge_sessions
from gateway.edge.sessions.centrifuge.results import register_encoding
from gateway.edge.sessions.centrifuge.session_context import TICK_S, SessionContext
from gateway.edge.sessions.centrifuge.subscription import ChannelParts
from gateway.edge.sessions.text import text_sessions
from gateway.edge.sessions.text_subscriptions import TextChannels, register_encodings
from gateway.edge.sockets.timer_wheel import TimerWheel
from gateway.edge.token_guard import TokenGuard
from gateway.errors import BadChannel, UnknownChannel
from gateway.handlers.definitions import Handlers
from gateway.handlers.invocation import Invocation
from gateway.handlers.runner import Runner
from gateway.messaging.channel_survey import ChannelSurvey
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.metrics import Counters
from gateway.presence.base import PresenceStore
from gateway.protocol.envelopes.wire import VERSION
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.members import Members
from gateway.redis_support import keys
from gateway.registry.base import Registry
from gateway.settings.config import Settings
from gateway.settings.version import __version__
from gateway.tokens.verifier import token_verifier
from gateway.tracing.variants import PLAIN, Variants
from gateway.worker import envelope_receivers
from gateway.worker.admin_composition import AdminParts
from gateway.worker.api_composition import connection_api
from gateway.worker.backend_credentials import credentials_of
from gateway.worker.blocking_report import SHARE_OF_LEASE, BlockingReport
from gateway.worker.handshake_limits import limits
from gateway.worker.health import PortHealth
from gateway.worker.inbox import Inbox
from gateway.worker.loop_watch import LoopWatch
from gateway.worker.readiness import Readiness


class WorkerParts:
    """The parts of one worker. Make them inside the event loop that runs it.

    Args:
        health: What the workers of its port share.
        cannot_go_on: Called with the reason when this worker has to end.
        variants: Of which classes it is made.
    """

    def __init__(
        self,
        settings: Settings,
        handlers: Handlers,
        broker: Broker,
        registry: Registry,
        channel_broker: ChannelBroker,
        *,
        presence_store: PresenceStore,
        me: WorkerId,
        health: PortHealth,
        cannot_go_on: Callable[[str], None],
        now: Callable[[], float],
        variants: Variants = PLAIN,
    ) -> None:
        self.me = me
        self._variants = variants
        self.settings = settings
        self.handlers = handlers
        self.broker = broker
        self.registry = registry
        self.channel_broker = channel_broker
        self.presence_store = presence_store
        self.now = now
        self.inbox_channel = keys.inbox(settings.redis_prefix, me)
        self.everyone = keys.everyone(settings.redis_prefix)
        self.counters = Counters()
        self.hub = Hub()
        self.members = Members(
            me,
            self.info(),
            lease_s=settings.lease_seconds,
            now=now(),
            handler_subset=settings.handler_subset,
        )
        self._put_messaging_together()
        self._put_channels_together()
        self._put_handling_together()
        self._put_cluster_together(cannot_go_on)
        self.token_verifier = token_verifier(
            settings.token_options(), settings.subscription_token_options()
        )
        self._put_edge_together(health)
        self.credentials = credentials_of(settings)
        self.api = connection_api(
            settings,
            owners=self.requests_to_owners,
            users=self.requests_to_users,
            users_of_batches=self.users_of_batches,
            survey=self.survey,
            registry=registry,
            publisher=self.publisher,
            presence_questions=self.presence_questions,
            credentials=self.credentials,
            counters=self.counters,
            variants=variants,
            now=now,
        )
        self._put_admin_together()

    def info(self, *, leaving: bool = False) -> WorkerInfo:
        """What this worker says of itself to the others."""
        handles = self.settings.role != "edge"
        return WorkerInfo(
            edge=self.settings.role != "handler",
            handler=handles,
            leaving=leaving,
            on_message=handles and self.handlers.on_message is not None,
            on_connect=handles and self.handlers.on_connect is not None,
            on_disconnect=handles and self.handlers.on_disconnect is not None,
            envelope_version=VERSION,
            host=socket.gethostname(),
            pid=os.getpid(),
            hooks=self.handlers.hooks.declared() if handles else (),
            traces=self._variants.traces,
            reports=True,
        )

    def count_refusal(self, reason: str) -> None:
        self.counters.refused[reason] += 1

    def _put_messaging_together(self) -> None:
        self.links = Links(
            self.me,
            self.broker,
            self.counters,
            channel_of=partial(keys.inbox, self.settings.redis_prefix),
            everyone=self.everyone,
            now=self.now,
        )
        self._transport = self._variants.link_transport(self.links, self.members)
        self.requests_to_owners = self._variants.requests_to_owners(
            self._transport,
            self.registry.look,
            lease_s=self.settings.lease_seconds,
            count=self.counters.count_send,
        )
        owners, of_user = self.requests_to_owners, self.registry.of_user
        to_users = partial(
            RequestsToUsers, owners, of_user,
            count_busy=self.counters.count_registry_busy,
            count_unanswered=self.counters.count_registry_unanswered,
        )  # fmt: skip
        self.requests_to_users = to_users()
        # A batch may name a thousand: nobody else waits behind them.
        self.users_of_batches = to_users(at_once=1)
        self.survey = ChannelSurvey(self.requests_to_owners, self.registry, self.requests_to_users)
        self.owner_receipts = self._variants.owner_receipts(
            self.hub,
            answer=self._transport.receipt,
            holding=lambda: not self.cluster.lease_guard.may_act,
            now=self.now,
        )

    def _put_channels_together(self) -> None:
        options_of = lru_cache(1000)(self.settings.channel.options_of)  # for every publication
        self._options_of = options_of
        fan_out = self._variants.fan_out(self.counters, self.hub, now=self.now)
        register_encodings(fan_out)
        register_encoding(fan_out)
        self.channels = Channels(
            self.channel_broker,
            also_reserved(options_of),
            fan_out,
            self.counters,
            max_channels=self.settings.max_channels,
            now=self.now,
        )
        self.publisher = self._variants.publisher(self.channel_broker, options_of, self.counters)
        self.stored_presence = StoredPresence(
            self.me, self.presence_store, may_write=lambda: self.cluster.lease_guard.may_write
        )
        self.presence = ChannelPresence(
            self.stored_presence, options_of=options_of, tell=self.channel_broker.tell
        )
        self.presence_questions = PresenceQuestions(self.presence_store, options_of)
        self._channel_lists = ChannelLists(self.channels, answer=self._transport.receipt)
        self._presence_sweep = PresenceSweep(
            self.presence_store, tell=self.channel_broker.tell, tells=self._tells
        )

    def _tells(self, channel: str) -> bool:
        """Whether it is told who leaves this channel, of which another worker has spoken."""
        try:
            return self.settings.channel.options_of(channel).join_leave
        except (BadChannel, UnknownChannel):
            return False

    def _put_handling_together(self) -> None:
        settings = self.settings
        self.runner = Runner(
            self.handlers,
            self._transport,
            self.counters,
            seconds=settings.handler_seconds,
            concurrency=settings.handler_concurrency,
            now=self.now,
            invocation=self._variants.invocation,
        )
        self.dispatcher = self._variants.dispatcher(
            self.members,
            self.links,
            self.counters,
            patience_s=settings.handler_seconds,
            now=self.now,
        )
        report_after_s = SHARE_OF_LEASE * settings.lease_seconds
        blocking = BlockingReport(
            self.me,
            self.broker,
            at_work=self.runner.at_work,
            channel_of=partial(keys.inbox, settings.redis_prefix),
            deadline_s=report_after_s,
        )
        self.loop_watch = LoopWatch(
            self.counters,
            entry=Invocation.call.__code__,
            report=blocking.publish,
            report_after_s=report_after_s,
            ready=lambda: self.readiness.ready,
        )

    def _put_cluster_together(self, cannot_go_on: Callable[[str], None]) -> None:
        self.cluster = ClusterParts(
            members=self.members,
            broker=self.broker,
            inbox=self.inbox_channel,
            registry=self.registry,
            links=self.links,
            runner=self.runner,
            dispatcher=self.dispatcher,
            requests_to_owners=self.requests_to_owners,
            hub=self.hub,
            presence=self.stored_presence,
            presence_sweep=self._presence_sweep,
            counters=self.counters,
            cannot_go_on=cannot_go_on,
            now=self.now,
        )
        self.inbox = Inbox(
            links=self.links,
            hub=self.hub,
            runner=self.runner,
            counters=self.counters,
            heard=self._heard,
        )
        envelope_receivers.register_dispatching(
            self.inbox, runner=self.runner, dispatcher=self.dispatcher
        )
        envelope_receivers.register_owner_requests(
            self.inbox,
            requests=self.requests_to_owners,
            responses=self.owner_receipts,
            channel_lists=self._channel_lists,
        )
        envelope_receivers.register_cluster(
            self.inbox,
            me=self.me,
            membership=self.cluster.membership,
            loopback_probe=self.cluster.loopback_probe,
        )

    def _heard(self) -> None:
        self.cluster.loopback_probe.heard()
        self.cluster.lease_guard.check_lease()

    def _put_edge_together(self, health: PortHealth) -> None:
        settings, cluster = self.settings, self.cluster
        self._timers = TimerWheel(TICK_S)
        self.readiness = Readiness(
            lease_guard=cluster.lease_guard,
            callbacks=cluster.callbacks,
            loopback_probe=cluster.loopback_probe,
            registration=cluster.registration,
            health=health,
            inbox_at=lambda: self.broker.where(self.inbox_channel),
            registry_at=lambda: self.broker.where(keys.workers(settings.redis_prefix)),
        )
        self.admission = Admission(limits(settings), now=self.now)
        self._edge = edge = ConnectionContext(
            hub=self.hub,
            channels=self.channels,
            dispatcher=self.dispatcher,
            registration=cluster.registration,
            counters=self.counters,
            limits=ConnectionLimits(
                message_bytes=settings.message_bytes,
                messages_per_second=settings.messages_per_second,
                outbox_bytes=settings.outbox_bytes,
                stall_s=settings.stall_seconds,
            ),
            wants_messages=lambda: cluster.callbacks.wants_messages is not False,
            wants_disconnects=lambda: cluster.callbacks.wants_disconnects is not False,
            has_hook=cluster.callbacks.has_hook,
            now=self.now,
        )
        endpoint = partial(
            self._variants.endpoint,
            self.me,
            edge,
            self.admission,
            self.readiness,
            holds_sockets=settings.role != "handler",
            refused=self.count_refusal,
        )
        self.endpoint = endpoint(
            negotiate=text_sessions(
                TextChannels(self.channels, self.presence), trace=settings.trace
            ),
            guard=TokenGuard(self.token_verifier) if settings.communicate_token else None,
        )
        self.centrifuge_endpoint = endpoint(
            negotiate=centrifuge_sessions(self._centrifuge_context())
        )

    def _centrifuge_context(self) -> SessionContext:
        return SessionContext(
            version=__version__,
            requests=self._variants.client_requests(
                ChannelParts(
                    channels=self.channels,
                    publisher=self.publisher,
                    presence=self.presence,
                    presence_questions=self.presence_questions,
                    options_of=self._options_of,
                ),
                Authentication(
                    self.token_verifier,
                    allow_anonymous=self.settings.allow_anonymous_connect_without_token,
                ),
                self.token_verifier,
                personal_namespace=self.settings.personal_namespace,
            ),
            timers=self._timers,
            now=self.now,
        )

    def _put_admin_together(self) -> None:
        cluster = self.cluster
        self.admin = AdminParts(
            self.me,
            self.settings,
            edge=self._edge,
            readiness=self.readiness,
            channel_broker=self.channel_broker,
            presence=self.presence,
            presence_questions=self.presence_questions,
            is_key=self.credentials.is_key,
            verifier=self.token_verifier,
            timers=self._timers,
            links=self.links,
            members=self.members,
            connections=lambda: self.admission.connections,
            well=lambda: cluster.lease_guard.may_act,
            probe_age_s=lambda: cluster.loopback_probe.age_s,
            reach=self.broker.reach,
            refused=self.count_refusal,
            now=self.now,
        )
        cluster.membership.became = self.admin.live_report.worker_became
        envelope_receivers.register_reports(self.inbox, live_report=self.admin.live_report)
