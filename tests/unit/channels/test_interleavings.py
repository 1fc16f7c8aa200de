"""The waiting around a worker's channels, with everything that may happen at each await.

Clients check what they are told: each publication once and in order, or a declared gap; and nothing
to who has left. In the end nobody waits, and what the channels keep is what is subscribed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channels.subscriber import Encoding
from gateway.errors import BrokerUnavailable, GatewayError
from gateway.protocol.channel_position import Position
from gateway.protocol.channel_steps import Reply, Wish
from gateway.protocol.ids import ConnectionId
from gateway.protocol.run import Run
from gateway.protocol.worker_channel import LINGER_S
from tests.unit.channels.recording import Stand, stand
from tests.unit.channels.scripted_broker import Stream, turn

ROOM = "kept:room"
MOST_STEPS = 9  # more than subscribing has
NAMES = ("ann", "bob", "cat")


@dataclass
class Client:
    """A connection that subscribes again from where it has come."""

    id: ConnectionId
    positioned: bool
    encoding: Encoding = Encoding.TEXT
    asked: bool = False
    live: bool = False
    at: Position | None = None
    gaps: int = 0
    refusals: int = 0
    got: list[int] = field(default_factory=list)

    def wish(self) -> Wish:
        return Wish(self.positioned, self.at if self.positioned else None)

    def subscribed(self, channel: str, reply: Reply) -> None:
        assert channel == ROOM
        assert self.asked, "a reply to who has not asked, or has left"
        self.asked, self.live = False, True
        assert (reply.position is not None) == self.positioned
        if reply.recovered:
            assert self.at is not None
            offsets = [publication.offset for publication in reply.publications]
            assert offsets == list(range(self.at.offset + 1, self.at.offset + 1 + len(offsets)))
        elif reply.recovered is False:
            self.gaps += 1
        self.at = reply.position
        self.got.clear()

    def not_subscribed(self, channel: str, error: GatewayError) -> None:
        assert self.asked
        assert isinstance(error, BrokerUnavailable)
        self.asked = False
        self.refusals += 1

    def insufficient(self, channel: str) -> None:
        assert self.live
        assert self.positioned
        self.live = False
        self.gaps += 1

    def left(self, channel: str) -> None:
        assert self.asked or self.live
        self.asked = self.live = False

    def deliver(self, run: Run) -> None:
        assert self.live, "sent to who is not subscribed"
        for message in run.messages:
            offset = int(message.split()[1])
            if self.at is not None:
                assert offset == self.at.offset + 1, "not the next, and no gap was declared"
                self.at = Position(self.at.epoch, offset)
            self.got.append(offset)


class Scene:
    """Three clients of one channel, and what may be done."""

    def __init__(self, there: Stand) -> None:
        self.there = there
        self.broker = there.broker
        self.clients = {
            name: Client(ConnectionId(name), positioned=name != "cat") for name in NAMES
        }

    def subscribe(self, name: str) -> None:
        client = self.clients[name]
        if not client.asked and not client.live:
            client.asked = True
            self.there.channels.subscribe(client, ROOM, client.wish())

    def unsubscribe(self, name: str) -> None:
        self.there.channels.unsubscribe(self.clients[name].id, ROOM)

    def close(self, name: str) -> None:
        self.there.channels.closed(self.clients[name].id)

    def subscribe_again(self, name: str) -> None:
        self.unsubscribe(name)
        self.subscribe(name)

    def close_for_long(self, name: str) -> None:
        self.close(name)
        self.linger()

    def publish(self) -> None:
        self.broker.put(ROOM)

    def resync(self) -> None:
        self.broker.lose()
        self.broker.put(ROOM)
        self.broker.restore()

    def lose_in_silence(self) -> None:
        """Two connections with a gap between them that nobody has noticed."""
        self.broker.incoming.clear()

    def lose_the_stream(self) -> None:
        self.broker.lose_stream(ROOM)
        self.broker.put(ROOM)

    def linger(self) -> None:
        self.there.later(LINGER_S)

    def fail_read(self) -> None:
        self.broker.fail_read()

    def fail_subscribing(self) -> None:
        self.broker.fail_subscribing()

    async def end(self) -> None:
        """All comes to its end; what is owed is paid by looks, and retries are waited for."""
        await self.broker.settle_down()
        for _ in range(3):
            self.there.later(45.0)
            await self.broker.settle_down()
        self.check()

    def check(self) -> None:
        channels, top = self.there.channels, self.broker.streams.setdefault(ROOM, Stream()).top
        live = {name for name, client in self.clients.items() if client.live}
        for name, client in self.clients.items():
            assert not client.asked, f"{name} was not answered"
            assert (ROOM in channels.channels_of(client.id)) == client.live
            assert channels.is_live(client.id, ROOM) == client.live
            if client.live and client.positioned:
                assert client.at == top, f"{name} lacks something, and was not told"
        assert channels.subscriptions == len(live) == channels.subscribers_of(ROOM)
        assert len(channels) == bool(live)
        assert (ROOM in self.broker.subscribed) == bool(live)


Disturbance = Callable[[Scene], None]
DISTURBANCES: dict[str, Disturbance] = {
    "publish": Scene.publish,
    "unsubscribe": lambda scene: scene.unsubscribe("ann"),
    "unsubscribe and subscribe": lambda scene: scene.subscribe_again("ann"),
    "close": lambda scene: scene.close("ann"),
    "close and linger": lambda scene: scene.close_for_long("ann"),
    "resync": Scene.resync,
    "lose the stream": Scene.lose_the_stream,
    "fail the read": Scene.fail_read,
    "another comes": lambda scene: scene.subscribe("bob"),
    "another comes unpositioned": lambda scene: scene.subscribe("cat"),
}


async def subscribing(scene: Scene) -> None:
    """Ann has been here, and has missed two publications."""
    scene.publish()
    scene.clients["ann"].at = scene.there.top(ROOM)
    scene.publish()
    scene.publish()
    scene.subscribe("ann")
    await turn()


@pytest.mark.parametrize("second", DISTURBANCES)
@pytest.mark.parametrize("first", DISTURBANCES)
async def test_whatever_happens_between_two_steps_of_subscribing(first: str, second: str) -> None:
    for at in range(MOST_STEPS):
        async with stand() as there:
            scene = Scene(there)
            await subscribing(scene)
            for step in range(MOST_STEPS):
                if step == at:
                    DISTURBANCES[first](scene)
                    await turn()
                if step == at + 1:
                    DISTURBANCES[second](scene)
                    await turn()
                await scene.broker.advance()
            await scene.end()


Move = tuple[str, str]
MOVES = st.one_of(
    st.tuples(st.sampled_from(["subscribe", "unsubscribe", "close"]), st.sampled_from(NAMES)),
    st.tuples(
        st.sampled_from([
            "publish", "resync", "lose_the_stream", "linger", "fail_read", "fail_subscribing",
        ]),
        st.just(""),
    ),
    st.tuples(st.sampled_from(["serve", "deliver", "look_up", "answer", "turn"]), st.just("")),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(MOVES, max_size=40))
def test_in_whatever_order_it_happens(moves: list[Move]) -> None:
    asyncio.run(_play(moves))


async def _play(moves: list[Move]) -> None:
    async with stand(size=4) as there:
        scene = Scene(there)
        for what, name in moves:
            if what == "turn":
                await turn()
            elif hasattr(scene.broker, what) and not hasattr(scene, what):
                getattr(scene.broker, what)()
            elif name:
                getattr(scene, what)(name)
            else:
                getattr(scene, what)()
        await scene.end()
