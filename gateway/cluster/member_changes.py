"""What is done when workers come, change and go: who is told, and in which order."""

from __future__ import annotations

from collections.abc import Callable

from gateway.cluster.application_callbacks import Callbacks
from gateway.cluster.lease_guard import LeaseGuard
from gateway.cluster.presence_sweep import Presence, PresenceSweep
from gateway.cluster.registration import Registration
from gateway.cluster.sweep import Sweep
from gateway.errors import BrokerUnavailable
from gateway.handlers.dispatcher import Dispatcher
from gateway.handlers.runner import Runner
from gateway.messaging.hub import Hub
from gateway.messaging.links import Links
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.members import Members
from gateway.registry.base import Registry


class MemberChanges:
    """Acts on what membership learns (``gateway.cluster.membership.Watcher``), and on what links
    learn of their peers.

    Args:
        replaced: Called once others have declared this worker dead.
        given_up: Told how many connections of the dead had no ``on_disconnect``.
    """

    def __init__(
        self,
        *,
        members: Members,
        lease_guard: LeaseGuard,
        callbacks: Callbacks,
        links: Links,
        runner: Runner,
        dispatcher: Dispatcher,
        requests_to_owners: RequestsToOwners,
        registration: Registration,
        hub: Hub,
        registry: Registry,
        presence: Presence,
        presence_sweep: PresenceSweep,
        replaced: Callable[[], None],
        given_up: Callable[[int], None],
    ) -> None:
        self._members = members
        self._lease_guard = lease_guard
        self._callbacks = callbacks
        self._links = links
        self._runner = runner
        self._dispatcher = dispatcher
        self._requests_to_owners = requests_to_owners
        self._registration = registration
        self._hub = hub
        self._registry = registry
        self._presence = presence
        self._presence_sweep = presence_sweep
        self._replaced = replaced
        self._given_up = given_up
        links.lost = self._link_lost
        links.relieved = self._relieved

    # This worker

    def renewed(self) -> None:
        self._lease_guard.renewed()

    def fenced(self) -> None:
        self._lease_guard.fence()
        self._registration.seal()
        self._presence.seal()
        self._runner.cancel_all()
        self._replaced()

    # The others

    def worker_joined(self, worker: WorkerId, info: WorkerInfo) -> None:
        self._links.revive(worker)
        self._links.set_version(worker, info.envelope_version)

    def worker_gone(self, worker: WorkerId) -> None:
        self._links.end(worker)
        self._requests_to_owners.worker_gone(worker)
        self._runner.edge_gone(worker)
        self._dispatcher.worker_gone(worker)

    def workers_changed(self) -> None:
        self._links.hurry({w for w, info in self._members.known.items() if info.leaving})
        self._callbacks.workers_changed()
        self._dispatcher.workers_changed()

    async def sweep(self, worker: WorkerId) -> bool:
        # First, for the rest may wait for a handler worker, and nobody else is to.
        left: BrokerUnavailable | None = None
        try:
            await self._presence_sweep.run(worker)
        except BrokerUnavailable as error:
            left = error
        sweep = Sweep(
            self._members.me,
            worker,
            self._registry,
            self._hub,
            self._dispatcher,
            wanted=self._callbacks.disconnects_deliverable,
            leaving=lambda: self._members.known[self._members.me].leaving,
            given_up=self._given_up,
        )
        done = await sweep.run()
        if left is not None:
            raise left  # whoever claims the sweep again finds what is left of it
        return done

    def _link_lost(self, peer: WorkerId) -> None:
        """``peer`` has given us up, and perhaps moved what we owed it: begin anew with it."""
        self._runner.edge_gone(peer)
        self._dispatcher.worker_gone(peer)

    def _relieved(self, peer: WorkerId) -> None:
        self._dispatcher.relieved(peer)
        self._runner.relieved(peer)
