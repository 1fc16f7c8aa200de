"""What makes a worker one of several, put together."""

from __future__ import annotations

from collections.abc import Callable

from gateway.broker.base import Broker
from gateway.cluster.application_callbacks import Callbacks
from gateway.cluster.lease_guard import LeaseGuard
from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.cluster.member_changes import MemberChanges
from gateway.cluster.membership import Membership
from gateway.cluster.outage import OutageLimit
from gateway.cluster.presence_sweep import Presence, PresenceSweep
from gateway.cluster.registration import Registration
from gateway.handlers.dispatcher import Dispatcher
from gateway.handlers.runner import Runner
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.metrics import Counters
from gateway.protocol.members import Members
from gateway.registry.base import Registry


class ClusterParts:
    """One worker's lease, its proof that it is reached, its entries, and its view of the others.

    Args:
        inbox: The channel of this worker.
        cannot_go_on: Called with the reason when this worker has to end.
    """

    def __init__(
        self,
        *,
        members: Members,
        broker: Broker,
        inbox: str,
        registry: Registry,
        links: Links,
        runner: Runner,
        dispatcher: Dispatcher,
        requests_to_owners: RequestsToOwners,
        hub: Hub,
        presence: Presence,
        presence_sweep: PresenceSweep,
        counters: Counters,
        cannot_go_on: Callable[[str], None],
        now: Callable[[], float],
    ) -> None:
        me = members.me
        self._presence = presence
        self.loopback_probe = LoopbackProbe(
            me, broker, inbox, counters, hopeless=lambda: cannot_go_on("deaf"), now=now
        )
        self.lease_guard = LeaseGuard(
            members=members,
            loopback_probe=self.loopback_probe,
            acts=links,
            handles=runner,
            now=now,
        )
        runner.before_run = self.lease_guard.check_lease
        self.registration = Registration(me, registry, may_write=lambda: self.lease_guard.may_write)
        self.callbacks = Callbacks(members)
        self.outage_limit = OutageLimit(
            lease_guard=self.lease_guard,
            loopback_probe=self.loopback_probe,
            members=members,
            links=links,
            dispatcher=dispatcher,
            hub=hub,
            now=now,
        )
        changes = MemberChanges(
            members=members,
            lease_guard=self.lease_guard,
            callbacks=self.callbacks,
            links=links,
            runner=runner,
            dispatcher=dispatcher,
            requests_to_owners=requests_to_owners,
            registration=self.registration,
            hub=hub,
            registry=registry,
            presence=presence,
            presence_sweep=presence_sweep,
            replaced=lambda: cannot_go_on("buried"),  # as operators have always read it
            given_up=counters.count_given_up,
        )
        self.membership = Membership(
            members,
            registry,
            changes,
            tell_everyone=links.tell_everyone,
            after_renewal=self._check_lists,
            died=counters.count_worker_death,
            now=now,
        )

    async def _check_lists(self) -> None:
        """A renewal was answered: find out whether Redis has lost what this worker wrote."""
        await self.registration.check()
        await self._presence.check()
