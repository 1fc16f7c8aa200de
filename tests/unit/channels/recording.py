"""A subscriber that writes down what it is told, and channels of this worker around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from gateway.channels.channels import Channels
from gateway.channels.fan_out import FanOut
from gateway.channels.publisher import Publisher
from gateway.channels.subscriber import Encoding
from gateway.errors import GatewayError
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.protocol.channel_messages import ClientInfo, MessageKind, PublicationBody
from gateway.protocol.channel_position import Position
from gateway.protocol.channel_steps import Reply, Wish
from gateway.protocol.ids import ConnectionId
from gateway.protocol.run import Run
from gateway.settings.namespaces import ChannelOptions, Namespaces
from tests.unit.channels.scripted_broker import ScriptedBroker, turn

KEPT = ChannelOptions(history_size=100, history_ttl=timedelta(minutes=5), join_leave=True)
POSITIONED = Wish(positioned=True)
NAMESPACES = Namespaces(named={"kept": KEPT})

Told = tuple[str, str] | tuple[str, str, object]


@dataclass
class Recording:
    """A ``Subscriber``. ``told`` has what it was told, in order: what, the channel, and more."""

    id: ConnectionId
    encoding: Encoding = Encoding.TEXT
    told: list[Told] = field(default_factory=list)
    delivered: list[bytes] = field(default_factory=list)

    def subscribed(self, channel: str, reply: Reply) -> None:
        self.told.append(("subscribed", channel, reply.position))

    def not_subscribed(self, channel: str, error: GatewayError) -> None:
        self.told.append(("not subscribed", channel, type(error)))

    def insufficient(self, channel: str) -> None:
        self.told.append(("insufficient", channel))

    def left(self, channel: str) -> None:
        self.told.append(("left", channel))

    def deliver(self, run: Run) -> None:
        self.delivered += run.messages


def encode_publication(channel: str, offset: int, body: PublicationBody) -> bytes:
    return b"%b %d %b" % (channel.encode(), offset, body.data)


def encode_member(channel: str, kind: MessageKind, info: ClientInfo) -> bytes | None:
    return f"{channel} {kind.name} {info.client}".encode()


@dataclass
class Stand:
    """Channels of one worker, on a scripted broker, with a clock that a test sets."""

    broker: ScriptedBroker
    channels: Channels
    publisher: Publisher
    counters: Counters
    clock: list[float]

    def later(self, seconds: float) -> None:
        self.clock[0] += seconds
        self.channels.tick()

    def recording(self, name: str, encoding: Encoding = Encoding.TEXT) -> Recording:
        return Recording(ConnectionId(name), encoding)

    def top(self, channel: str) -> Position:
        return self.broker.streams[channel].top


@asynccontextmanager
async def stand(*, max_channels: int = 1000, size: int = 100) -> AsyncIterator[Stand]:
    broker, counters, clock = ScriptedBroker(size=size), Counters(), [1000.0]
    fan_out = FanOut(counters, Hub(), now=lambda: clock[0])
    for encoding in Encoding:
        fan_out.register(encoding, encode_publication, encode_member)
    channels = Channels(
        broker,
        NAMESPACES.options_of,
        fan_out,
        counters,
        max_channels=max_channels,
        now=lambda: clock[0],
        jitter=lambda: 1.0,
    )
    publisher = Publisher(broker, NAMESPACES.options_of, counters)
    task = asyncio.create_task(channels.run())
    await turn()
    try:
        yield Stand(broker, channels, publisher, counters, clock)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def live(
    stand: Stand, name: str, channel: str, wish: Wish = POSITIONED, *, join_leave: bool = False
) -> Recording:
    subscriber = stand.recording(name)
    stand.channels.subscribe(subscriber, channel, wish, join_leave=join_leave)
    await stand.broker.settle_down()
    assert stand.channels.is_live(subscriber.id, channel)
    subscriber.told.clear()
    return subscriber
