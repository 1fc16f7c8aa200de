"""What text sockets get of channels, and what becomes of who wants them there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest

from gateway.channels import presence_waits
from gateway.channels.presence import ChannelPresence
from gateway.channels.stored_presence import StoredPresence
from gateway.edge.sessions.text import PlainText
from gateway.edge.sessions.text_subscriptions import TextChannels, as_text, as_trace
from gateway.errors import BrokerUnavailable, ConnectionEnding, GatewayError, UnknownChannel
from gateway.presence.base import PresenceChange
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol import channel_messages
from gateway.protocol.channel_messages import MessageKind, PublicationBody
from gateway.protocol.envelopes.dispatching import Presented
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run
from gateway.settings.namespaces import ChannelOptions
from tests.support.waiting import eventually
from tests.unit.channels.recording import Stand, stand
from tests.unit.channels.scripted_broker import turn
from tests.unit.edge.sessions.hookless import Hookless

ANN = ConnectionId("ann")
SEEN = "seen"
SEEN_OPTIONS = ChannelOptions(presence=True, join_leave=True)


class Socket(Hookless):
    """A connection that writes down what it is sent."""

    id = ANN
    address = "192.0.2.1"
    admitted = True

    def __init__(self, user: str | None = None) -> None:
        self.user = user
        self.sent: list[bytes] = []

    def send(self, payload: bytes) -> None:
        self.sent.append(payload)

    def send_run(self, run: Run) -> None:
        for message in run.messages:
            self.send(message)

    def progressed(self) -> None: ...

    reading = True

    def identify(self, user: str | None, presented: Presented) -> None: ...

    def dispatch(self, text: str, size_bytes: int) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def end_with(self, ending: ConnectionEnding) -> None: ...


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'"Gr\xc3\xbc\xc3\x9fe\\n\\u00e9"', "Grüße\né".encode()),
        (b'""', b""),
        (b'{"a": [1, "b"]}', b'{"a": [1, "b"]}'),
        (b"null", b"null"),
        (b"12.50", b"12.50"),
        (b'"\\ud800"', b'"\\ud800"'),  # half of a pair: no text can have it
    ],
)
def test_a_string_leaves_as_its_text_and_anything_else_as_it_was_given(
    data: bytes, text: bytes
) -> None:
    assert as_text("news", 1, PublicationBody(data)) == text


def test_a_trace_names_the_channel() -> None:
    message = as_trace('"news"', 1, PublicationBody(b'{"a": 1}'))

    assert json.loads(message) == {"channel": '"news"', "publication": {"a": 1}}


class Store(MemoryPresenceStore):
    """One that a test can stop, or let fail."""

    def __init__(self) -> None:
        super().__init__()
        self.open = asyncio.Event()
        self.open.set()
        self.broken = False

    async def write(
        self,
        worker: WorkerId,
        revision: int,
        changes: Sequence[PresenceChange],
        *,
        upon: range | None,
    ) -> bool:
        await self.open.wait()
        if self.broken:
            raise BrokerUnavailable("not there")
        return await super().write(worker, revision, changes, upon=upon)


class Room:
    """Plain text sockets, in channels of which ``SEEN`` has members."""

    def __init__(self, stand: Stand) -> None:
        self.channels = stand.channels
        self.broker = stand.broker
        self.publisher = stand.publisher
        self.store = Store()
        self.told: list[tuple[MessageKind, str]] = []
        self.stored = StoredPresence(WorkerId("w" * 16), self.store, may_write=lambda: True)
        self.presence = ChannelPresence(
            self.stored,
            options_of=lambda channel: SEEN_OPTIONS if channel == SEEN else ChannelOptions(),
            tell=self._tell,
        )
        self.session = PlainText(TextChannels(stand.channels, self.presence))

    def _tell(self, channel: str, payload: bytes) -> None:
        read = channel_messages.read(payload)
        assert read is not None
        self.told.append((read.kind, channel_messages.read_client_info(read.body).client))

    def subscribe(self, socket: Socket, channel: str) -> list[Receipt | GatewayError]:
        told: list[Receipt | GatewayError] = []
        self.session.subscribe(socket, channel, told.append)
        return told

    async def members(self) -> dict[str, str]:
        return {client: info.user for client, info in (await self.store.members(SEEN)).items()}

    async def settle(self) -> None:
        await self.broker.settle_down()
        for _ in range(20):
            await turn()


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with stand() as s:
        made = Room(s)
        writing = asyncio.create_task(made.stored.run())
        yield made
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)


async def test_everybody_who_asks_while_it_subscribes_is_told_when_it_has(room: Room) -> None:
    session, socket, told = room.session, Socket(), list[Receipt | GatewayError]()
    for _ in range(3):
        session.subscribe(socket, "news", told.append)
    await turn()
    assert not told

    await room.settle()
    session.subscribe(socket, "news", told.append)
    assert told == [Receipt.WRITTEN] * 4
    room.publisher.publish("news", b'"hello"')
    await room.settle()
    assert socket.sent == [b'news 0 "hello"']


async def test_who_asks_is_told_that_it_has_left_or_closed_before(room: Room) -> None:
    session, socket, told = room.session, Socket(), list[Receipt | GatewayError]()
    session.subscribe(socket, "a", told.append)
    session.unsubscribe(socket, "a", told.append)
    assert told == [Receipt.GONE, Receipt.WRITTEN]
    session.subscribe(socket, "b", told.append)
    room.channels.closed(ANN)

    assert told[2:] == [Receipt.GONE]
    await room.settle()
    assert not room.channels.subscriptions


async def test_who_asks_is_told_why_not(room: Room) -> None:
    unknown, news = room.subscribe(Socket(), "unknown:1"), room.subscribe(Socket(), "news")
    room.broker.fail_subscribing()
    await turn()

    assert [type(each) for each in (*unknown, *news)] == [UnknownChannel, BrokerUnavailable]


# Members


async def test_who_is_told_that_it_has_subscribed_is_a_member(room: Room) -> None:
    room.store.open.clear()
    told = room.subscribe(Socket("ann"), SEEN)
    await room.settle()
    assert room.channels.is_live(ANN, SEEN)
    assert not told
    assert not room.told

    room.store.open.set()
    await room.settle()
    assert told == [Receipt.WRITTEN]
    assert await room.members() == {ANN: "ann"}
    assert room.told == [(MessageKind.JOIN, ANN)]


async def test_who_is_not_subscribed_yet_is_told_nothing_though_it_is_a_member(room: Room) -> None:
    told = room.subscribe(Socket("ann"), SEEN)
    for _ in range(20):
        await turn()

    assert await room.members() == {ANN: "ann"}
    assert (told, room.told) == ([], [])


@pytest.mark.parametrize("ends", ["unsubscribes", "closes"])
async def test_who_ends_leaves(room: Room, ends: str) -> None:
    room.subscribe(Socket("ann"), SEEN)
    await room.settle()
    if ends == "closes":
        room.channels.closed(ANN)
    else:
        room.session.unsubscribe(Socket(), SEEN, lambda _: None)
    await room.settle()

    assert await room.members() == {}
    assert room.told == [(MessageKind.JOIN, ANN), (MessageKind.LEAVE, ANN)]


async def test_who_ends_before_it_was_a_member_never_was(room: Room) -> None:
    room.store.open.clear()
    told = room.subscribe(Socket("ann"), SEEN)
    await room.settle()
    room.channels.closed(ANN)
    room.store.open.set()
    await room.settle()

    assert told == [Receipt.GONE]
    assert await room.members() == {}
    assert not room.told


async def test_who_cannot_be_subscribed_is_no_member(room: Room) -> None:
    told = room.subscribe(Socket("ann"), SEEN)
    room.broker.fail_subscribing()
    for _ in range(20):
        await turn()

    assert [type(each) for each in told] == [BrokerUnavailable]
    assert await room.members() == {}
    assert not room.told


async def test_who_cannot_be_a_member_is_not_subscribed(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_waits, "REDIS_DEADLINE_S", 0.01)
    room.store.broken = True
    told = room.subscribe(Socket("ann"), SEEN)
    await room.settle()
    await eventually(lambda: bool(told), "the refusal")

    assert [type(each) for each in told] == [BrokerUnavailable]
    assert not room.channels.subscriptions
    assert not room.presence


async def test_who_has_come_back_is_not_ended_by_what_failed_before(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.store.open.clear()
    with monkeypatch.context() as patched:
        patched.setattr(presence_waits, "REDIS_DEADLINE_S", 0.01)
        room.subscribe(Socket("ann"), SEEN)
    failed = next(iter(room.stored._waits._deadlines))[1]
    for _ in range(5):  # its write is under way
        await turn()
    room.channels.unsubscribe(ANN, SEEN)
    told = room.subscribe(Socket("ann"), SEEN)
    await eventually(failed.done, "the failure")
    assert isinstance(failed.exception(), BrokerUnavailable)
    room.store.open.set()
    await room.settle()

    assert told == [Receipt.WRITTEN]
    assert await room.members() == {ANN: "ann"}


async def test_who_comes_back_at_once_is_a_member(room: Room) -> None:
    room.subscribe(Socket("ann"), SEEN)
    await room.settle()
    room.channels.unsubscribe(ANN, SEEN)
    told = room.subscribe(Socket("ann"), SEEN)
    await room.settle()

    assert told == [Receipt.WRITTEN]
    assert await room.members() == {ANN: "ann"}
    assert room.told == [
        (MessageKind.JOIN, ANN),
        (MessageKind.LEAVE, ANN),
        (MessageKind.JOIN, ANN),
    ]


async def test_a_connection_that_takes_over_is_sent_what_comes(room: Room) -> None:
    early, socket = Socket(), Socket()
    room.subscribe(early, "news")
    await room.settle()
    room.publisher.publish("news", b"1")
    await room.settle()
    room.session.hand_over(socket)
    room.publisher.publish("news", b"2")
    await room.settle()

    assert (early.sent, socket.sent) == ([b"news 0 1"], [b"news 0 2"])


@pytest.mark.parametrize("how", ["raises", "cancelled"])
async def test_whoever_waits_for_one_that_fails_by_a_fault_is_told_and_may_come_again(
    room: Room, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    entering: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def enter(*_: object) -> asyncio.Future[None]:
        if how == "raises":
            raise RuntimeError("nobody has expected this")
        return entering

    with monkeypatch.context() as broken:
        broken.setattr(room.presence, "enter", enter)
        told = room.subscribe(Socket(), "news")
        also = room.subscribe(Socket(), "news") if how == "cancelled" else told
        entering.cancel()
        await room.settle()
    assert [type(each) for each in told + also] == [BrokerUnavailable] * 2
    assert not room.channels.subscriptions

    again = room.subscribe(Socket(), "news")
    await room.settle()
    assert again == [Receipt.WRITTEN]


async def test_who_fails_at_being_told_keeps_no_other_waiting(room: Room) -> None:
    def fails(_: object) -> None:
        raise RuntimeError

    socket, told = Socket(), list[Receipt | GatewayError]()
    room.session.subscribe(socket, "news", fails)
    room.session.subscribe(socket, "news", told.append)
    await room.settle()

    assert told == [Receipt.WRITTEN]
