"""Channels on a Cluster: each at the master of its slot, with all that it keeps."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TypeVar

from gateway.channel_broker.base import (
    ChannelBroker,
    ChannelReceiver,
    HistoryOptions,
    Page,
    Publishing,
    Stored,
)
from gateway.channel_broker.departed import LETTERS, MAX_DEPARTED, DepartedMasters
from gateway.channel_broker.detained import AGAIN_S, NOBODY, DetainedPublications
from gateway.channel_broker.redis import Redirected, RedisChannelBroker
from gateway.channel_broker.redis_publications import Item, Tell
from gateway.channel_broker.redis_scripts import publishing_size
from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_position import Position
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.recovery import History
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.asking import looked_at
from gateway.redis_support.cluster import Moved
from gateway.redis_support.cluster_subscriptions import ClusterSubscriptions
from gateway.redis_support.in_time import add_in_time
from gateway.redis_support.masters import Masters
from gateway.redis_support.stream import Endpoint

T = TypeVar("T")
_Failed = Callable[[str], object]


def channel_broker_at(
    address: RedisAddress,
    *,
    prefix: str,
    name: str = "gateway",
    failed: _Failed = lambda _why: None,
) -> ChannelBroker:
    """The channel broker on whatever is at this address."""
    broker = RedisChannelBroker if address.cluster is None else ClusterChannelBroker
    return broker(address, prefix=prefix, name=name, failed=failed)


class ClusterChannelBroker:
    """``ChannelBroker`` on the masters of a Cluster.

    A channel comes from one living master to another with all that it keeps, and its epoch goes on,
    also when the first has left later on (``DepartedMasters``: until it is known who did, channels
    wait). One whose master was replaced by a replica begins another epoch, as on a single node.

    Publications that are refused because their slot is moving wait, with all that follow in their
    channel, and are sent again: nothing was done. So do those for a master that was met just now,
    until it is connected for the first time (from when on it has a run id). None waits for longer
    than ``REDIS_DEADLINE_S``.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        prefix: str,
        name: str = "gateway",
        failed: _Failed = lambda _why: None,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._failed = failed
        self._detained = DetainedPublications(
            address.node, failed=failed, give=self._give, look=self._catch_up
        )
        # Masters that have given away all they had, and were there to do it.
        self._departed = DepartedMasters(self._exchange_departed, changed=self._share_run_ids)
        # Channels of which something is still on its way to a master that has them no more, as of
        # the last release: what is published in them waits for the next.
        self._behind: dict[str, RedisChannelBroker] = {}
        self._nodes = Masters(
            address,
            lambda master: self._node(master, name),
            RedisChannelBroker.run_publishing,
        )
        self._nodes.changed = self._map_changed
        self._subscriptions = ClusterSubscriptions(address, name=f"{name}.channels.subscribe")

    async def run(self, receiver: ChannelReceiver) -> None:
        def on_resync(channels: list[str], _: float) -> None:
            receiver.on_resync(channels)

        subscribing = self._subscriptions.run(receiver.on_messages, on_resync)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.run_publishing(), name="channel publishers")
            tasks.create_task(subscribing, name="channel subscribers")

    async def run_publishing(self) -> None:
        """Keep up the connections that publish and read, and no others, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._nodes.run(), name="channel nodes")
            tasks.create_task(self._nodes.cluster.watch(), name="cluster watched")
            tasks.create_task(self._departed.run(), name="departed masters")

    @property
    def connected(self) -> bool:
        return any(node.connected for node in self._nodes)

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        return add_in_time(self._subscriptions, self._key(channel), channel, self._address)

    def unsubscribe(self, channel: str) -> None:
        self._subscriptions.remove(self._key(channel))

    def settle(self, channel: str = "") -> asyncio.Future[None]:
        if channel:
            return self._subscriptions.settle(self._key(channel))
        return self._subscriptions.settle_all()

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        channel = publishing.channel
        node = None if channel in self._detained.channels else self._node_now(channel)
        if node is not None:
            return node.publish(publishing)
        return self._detained.begin(publishing, publishing_size(publishing))

    def tell(self, channel: str, message: bytes) -> asyncio.Future[Stored]:
        node = None if channel in self._detained.channels else self._node_now(channel)
        if node is not None:
            return node.tell(channel, message)
        told = self._detained.begin(Tell(channel, message), len(message) + len(channel))
        told.add_done_callback(looked_at)
        return told

    def read_at(self, channel: str) -> Endpoint | None:
        return self._nodes.cluster.owner_of(self._key(channel))

    async def read(self, channel: str, after: int | None, history: HistoryOptions) -> History:
        return await self._at(
            self._key(channel),
            lambda node, importing: node.read(channel, after, history, while_importing=importing),
        )

    async def page(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        since: Position | None = None,
        reverse: bool = False,
    ) -> Page:
        return await self._at(
            self._key(channel),
            lambda node, importing: node.page(
                channel, history, limit=limit, since=since, reverse=reverse,
                while_importing=importing,
            ),
        )  # fmt: skip

    async def remove_history(self, channel: str) -> None:
        await self._at(
            self._key(channel),
            lambda node, importing: node.remove_history(channel, while_importing=importing),
        )

    async def share_namespaces(self, said: str, *, starting: bool) -> None:
        await self._at(
            keys.namespaces(self._prefix).encode(),
            lambda node, importing: node.share_namespaces(
                said, starting=starting, while_importing=importing
            ),
            of_channel=False,
        )

    async def shared_namespaces(self) -> str | None:
        return await self._at(
            keys.namespaces(self._prefix).encode(),
            lambda node, importing: node.shared_namespaces(while_importing=importing),
            of_channel=False,
        )

    async def _exchange_departed(
        self, left: Mapping[str, int], returned: Collection[str]
    ) -> list[str]:
        return await self._at(
            keys.departed(self._prefix).encode(),
            lambda node, importing: node.departed(
                left, returned, most=MAX_DEPARTED, while_importing=importing
            ),
            of_channel=False,
        )

    def _key(self, channel: str) -> bytes:
        return keys.channel_messages(self._prefix, channel).encode()

    def _node(self, master: RedisAddress, name: str) -> RedisChannelBroker:
        node = RedisChannelBroker(
            master,
            prefix=self._prefix,
            name=name,
            failed=self._failed,
            elsewhere=self._detained.add,
        )
        node.on_run_id = self._masters_known
        return node

    def _map_changed(self, moved: Moved) -> None:
        """What is on its way may be refused there: what follows in its channel waits for that."""
        self._departed.masters_are([node.run_id for node in self._nodes if node.run_id])
        self._note_departed(moved)
        self._departed.look_soon()
        self._share_run_ids()
        for node in self._nodes.everyone:
            for channel in node.publications.channels():
                if self._nodes.of(self._key(channel)) is not node:
                    self._behind[channel] = node
        if self._behind:
            self._detained.release_soon()

    def _note_departed(self, moved: Moved) -> None:
        """Tell a master that has left from one that was lost: both are masters no more.

        Who takes over for one that was lost is met then. One that leaves gives its slots to masters
        that were known before, and stands until it has none; what came from it is whole.
        """
        staying = set(self._nodes)
        leaving = {node for node in self._nodes.everyone if node not in staying}
        if not leaving:
            return
        for slot, before in moved.items():
            heir = self._nodes.of_slot(slot)
            node = None if before is None else self._nodes.at(before)
            if node in leaving and (heir is None or not heir.run_id):
                leaving.discard(node)
        for node in leaving:
            if node.connected:
                self._departed.left(node.run_id)

    def _node_now(self, channel: str) -> RedisChannelBroker | None:
        """The node to which what is published may go at once; None: it has to wait."""
        node = self._nodes.of(self._key(channel))
        if node is None or not node.run_id or not self._departed.known or channel in self._behind:
            return None
        return node

    def _catch_up(self) -> bool:
        """Forget channels of which all has arrived, or was refused. One look at each master.

        Returns whether there are others.
        """
        under_way = {node: node.publications.channels() for node in {*self._behind.values()}}
        self._behind = {
            channel: node for channel, node in self._behind.items() if channel in under_way[node]
        }
        return bool(self._behind)

    def _masters_known(self) -> None:
        self._departed.masters_are([node.run_id for node in self._nodes if node.run_id])
        self._share_run_ids()

    def _share_run_ids(self) -> None:
        nodes = list(self._nodes)
        left = [run_id[:LETTERS] for run_id in self._departed.run_ids]
        for node in nodes:
            others = [one.run_id for one in nodes if one is not node and one.run_id]
            node.trust([*others, *left])

    async def _at(
        self,
        key: bytes,
        ask: Callable[[RedisChannelBroker, bool], Awaitable[T]],
        *,
        of_channel: bool = True,
    ) -> T:
        """Ask the owner of the slot, and again while it moves: what is asked may be repeated.

        Waits for the owner as publications do, and of a channel until it is known who has left. Who
        has the keys already is asked at once, if it is a master that has slots.
        """
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + REDIS_DEADLINE_S
        while True:
            node = self._nodes.of(key)
            if node is not None and node.run_id and (self._departed.known or not of_channel):
                try:
                    return await self._where_it_is(node, ask)
                except Redirected as error:
                    if loop.time() >= ends_at:
                        self._address.node.in_vain(str(error), f"read {key.decode()}")
                        raise
            elif loop.time() >= ends_at:
                self._address.node.in_vain(NOBODY, f"read {key.decode()}")
                raise BrokerUnavailable(NOBODY)
            await asyncio.sleep(AGAIN_S)

    async def _where_it_is(
        self, node: RedisChannelBroker, ask: Callable[[RedisChannelBroker, bool], Awaitable[T]]
    ) -> T:
        try:
            return await ask(node, False)
        except Redirected as error:
            other = None if error.importing is None else self._nodes.at(error.importing)
            if other is None or not other.connected:
                raise
        return await ask(other, True)

    def _give(self, channel: str, items: list[Item]) -> bool:
        node = self._node_now(channel)
        if node is None:
            return False
        for item in items:
            node.publications.add(item)
        return True
