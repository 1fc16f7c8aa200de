"""The channels of one worker: who has subscribed, and what comes of the broker.

The rules are in ``gateway.protocol.worker_channel``; ``gateway.channels.steps`` does what they say.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Final

from gateway.channel_broker.base import ChannelBroker
from gateway.channels.fan_out import FanOut
from gateway.channels.local_channel import LocalChannel
from gateway.channels.publisher import history_options
from gateway.channels.steps import Steps
from gateway.channels.subscriber import Subscriber
from gateway.errors import ChannelLimit, WorkerChannelLimit
from gateway.log import get_logger
from gateway.log.seldom import Seldom
from gateway.metrics import Counters
from gateway.protocol import channel_messages
from gateway.protocol.channel_messages import MessageKind
from gateway.protocol.channel_names import MAX_CHANNELS_PER_CONNECTION
from gateway.protocol.channel_steps import Step, Wish
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import Publication
from gateway.settings.namespaces import ChannelOptions

log = get_logger(__name__)

TELL_EACH_S: Final = 60.0
RESYNCS_AT_ONCE: Final = 200  # channels, before the loop goes on with something else

PLAIN: Final = Wish()


class Channels:
    """Subscriptions of this worker's connections. Make it inside the event loop.

    Args:
        options_of: Raises BadChannel and UnknownChannel.
        max_channels: Of this worker.
        now: Monotonic seconds.

    Attributes:
        subscriptions: How many there are, with those that are asked for.
    """

    def __init__(
        self,
        broker: ChannelBroker,
        options_of: Callable[[str], ChannelOptions],
        fan_out: FanOut,
        counters: Counters,
        *,
        max_channels: int,
        now: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._broker = broker
        self._options_of = options_of
        self._fan_out = fan_out
        self._counters = counters
        self._max_channels = max_channels
        self._now = now
        self._channels: dict[str, LocalChannel] = {}
        self._of_connection: dict[ConnectionId, set[str]] = {}
        self._steps = Steps(
            broker,
            fan_out,
            counters,
            forget=self._forget,
            released=self._released,
            now=now,
            jitter=jitter,
        )
        self._full = Seldom(TELL_EACH_S, now)
        self._resyncing: deque[LocalChannel] = deque()
        self.subscriptions = 0

    def __len__(self) -> int:
        """How many channels there are, with those that linger."""
        return len(self._channels)

    # Coming and going

    def subscribe(
        self, subscriber: Subscriber, channel: str, wish: Wish = PLAIN, *, join_leave: bool = False
    ) -> None:
        """Subscribe a connection. It is told by ``subscribed`` or ``not_subscribed``, once, perhaps
        within this call; unless it unsubscribes before.

        Nothing if it has subscribed already, or has asked. Where the channel keeps no history,
        nobody is positioned.

        Args:
            join_leave: Tell it who joins and leaves.

        Raises:
            BadChannel: Nothing may be called that.
            UnknownChannel: Its namespace is not set up.
        """
        local = self._channels.get(channel)
        history = history_options(self._options_of(channel)) if local is None else local.history
        mine = self._of_connection.get(subscriber.id, ())
        if channel in mine:
            return
        refusal = self._limit(channel, len(mine), new=local is None)
        if refusal is not None:
            subscriber.not_subscribed(channel, refusal)
            return
        if local is None:
            local = self._channels[channel] = LocalChannel(channel, history, now=self._now())
            self._steps.opened(local)
        self._of_connection.setdefault(subscriber.id, set()).add(channel)
        self.subscriptions += 1
        if history is None:
            wish = PLAIN
        self._steps.happen(
            local, partial(self._join, local, subscriber, wish, join_leave=join_leave)
        )

    def unsubscribe(self, connection: ConnectionId, channel: str) -> None:
        """It is told by ``left``. Nothing if it has not subscribed."""
        if self._forget(connection, channel):
            self._leave(self._channels[channel], connection)

    def closed(self, connection: ConnectionId) -> None:
        """A connection has ended, or its session: unsubscribe it from everything."""
        for channel in self._of_connection.pop(connection, ()):
            self.subscriptions -= 1
            self._leave(self._channels[channel], connection)

    def channels_of(self, connection: ConnectionId) -> Collection[str]:
        """Where it has subscribed, or has asked to."""
        return self._of_connection.get(connection, ())

    def subscriber(self, connection: ConnectionId, channel: str) -> Subscriber | None:
        """Who has subscribed for it, or has asked to."""
        local = self._channels.get(channel)
        return None if local is None else local.subscribers.get(connection)

    def is_live(self, connection: ConnectionId, channel: str) -> bool:
        """Whether it has subscribed, and been told so."""
        local = self._channels.get(channel)
        return local is not None and local.is_live(connection)

    def names(self) -> list[str]:
        """The channels of this worker, with those that linger."""
        return list(self._channels)

    def subscribers_of(self, channel: str) -> int:
        """How many connections of this worker have subscribed, or have asked to."""
        local = self._channels.get(channel)
        return 0 if local is None else len(local.subscribers)

    def _limit(self, channel: str, mine: int, *, new: bool) -> ChannelLimit | None:
        if mine >= MAX_CHANNELS_PER_CONNECTION:
            return ChannelLimit(f"a connection has {MAX_CHANNELS_PER_CONNECTION} channels at most")
        if new and len(self._channels) >= self._max_channels:
            self._counters.channels_refused += 1
            if refused := self._full.again():
                log.error(
                    "worker has too many channels",
                    channel=channel,
                    max_channels=self._max_channels,
                    refused=refused,
                )
            return WorkerChannelLimit(f"this worker has {self._max_channels} channels already")
        return None

    def _forget(self, connection: ConnectionId, channel: str) -> bool:
        mine = self._of_connection.get(connection)
        if mine is None or channel not in mine:
            return False
        mine.discard(channel)
        self.subscriptions -= 1
        if not mine:
            del self._of_connection[connection]
        return True

    def _join(
        self, local: LocalChannel, subscriber: Subscriber, wish: Wish, *, join_leave: bool
    ) -> list[Step]:
        local.subscribers[subscriber.id] = subscriber
        if join_leave:
            local.told[subscriber.id] = subscriber
        return local.machine.join(subscriber.id, wish)

    def _leave(self, local: LocalChannel, connection: ConnectionId) -> None:
        subscriber = local.remove(connection)  # told nothing more, whatever the steps say
        if subscriber is not None:
            subscriber.left(local.name)
        self._steps.happen(local, partial(_left, local, connection))

    # The broker

    async def run(self) -> None:
        """Keep the channels until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._broker.run(self), name="channel broker")
            tasks.create_task(self._steps.run(), name="channel clock")

    def on_messages(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """What one read of the broker's brought (``ChannelReceiver``)."""
        runs: dict[str, tuple[str, list[Publication]]] = {}  # with their epochs
        for name, payload in messages:
            if name not in self._channels:
                continue
            message = channel_messages.read(payload)
            if message is None:
                self._fan_out.unreadable(name)
                continue
            kind, epoch, offset, body = message
            run = runs.get(name)
            if kind is not MessageKind.PUBLICATION:
                if run is not None:
                    self._arrived(name, *runs.pop(name))
                self._member(name, kind, body)
            elif run is None:
                runs[name] = (epoch, [Publication(offset, body)])
            elif run[0] == epoch:
                run[1].append(Publication(offset, body))
            else:
                self._arrived(name, *run)
                runs[name] = (epoch, [Publication(offset, body)])
        at_once = len(runs) == 1  # of several, a socket may get more than one
        for name, (epoch, publications) in runs.items():
            local = self._channels.get(name)
            if local is not None:
                local.heard_at = self._now()
                self._steps.arrived(local, epoch, publications, at_once=at_once)

    def _arrived(self, name: str, epoch: str, publications: Sequence[Publication]) -> None:
        local = self._channels.get(name)
        if local is not None:
            local.heard_at = self._now()
            self._steps.arrived(local, epoch, publications)

    def _member(self, name: str, kind: MessageKind, body: bytes) -> None:
        local = self._channels.get(name)
        if local is not None:
            local.heard_at = self._now()
            live = [told for who, told in local.told.items() if local.is_live(who)]
            if live:
                self._fan_out.member(name, kind, body, live)

    def on_resync(self, channels: Collection[str]) -> None:
        """Messages may have been lost, and the subscriptions stand again (``ChannelReceiver``)."""
        self._counters.channel_resyncs += 1
        begin = not self._resyncing
        self._resyncing.extend(
            local for name in channels if (local := self._channels.get(name)) is not None
        )
        if begin and self._resyncing:
            self._resync_some()

    def _resync_some(self) -> None:
        """Not all in one turn of the loop: a worker may have a hundred thousand."""
        for _ in range(min(RESYNCS_AT_ONCE, len(self._resyncing))):
            local = self._resyncing.popleft()
            if local.history is not None:
                self._steps.happen(local, local.machine.resync)
            elif local.subscribers:
                self._counters.channel_gaps["unknown"] += 1
        if self._resyncing:
            asyncio.get_running_loop().call_soon(self._resync_some)

    def tick(self) -> None:
        """Do what is due by the clock, as ``run`` does several times a second."""
        self._steps.tick()

    def _released(self, local: LocalChannel) -> None:
        if self._channels.get(local.name) is local:
            del self._channels[local.name]


def _left(local: LocalChannel, connection: ConnectionId) -> list[Step]:
    local.remove(connection)  # its wish may have been taken in since
    return local.machine.leave(connection)
