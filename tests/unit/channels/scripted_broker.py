"""A broker whose answers come when, and in which order, a test wants them to.

Two connections, as with Redis: on the one what is asked of subscriptions and what is delivered, in
order; on the other reads, which see the stream at a moment between question and answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from gateway.channel_broker.base import ChannelReceiver, HistoryOptions, Page, Publishing, Stored
from gateway.errors import BrokerUnavailable
from gateway.protocol.channel_messages import MessageKind, PublicationBody, encode, message
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import MAX_READ, History, Publication

Answer = Callable[[], None]


@dataclass
class Stream:
    """What is kept of one channel."""

    top: Position = field(default_factory=lambda: Position("epoch1", 0))
    kept: list[Publication] = field(default_factory=list)


@dataclass
class Asked:
    """A read that waits to be carried out."""

    channel: str
    after: int | None
    answer: asyncio.Future[History]


class ScriptedBroker:
    """A ``ChannelBroker`` of which nothing happens by itself."""

    def __init__(self, *, size: int = 100) -> None:
        self.receiver: ChannelReceiver | None = None
        self.size = size
        self.streams: dict[str, Stream] = {}
        self.subscribed: set[str] = set()
        self.refused: set[str] = set()  # no message of these is handed out
        self.commands: deque[Answer] = deque()
        self.incoming: deque[Answer] = deque()
        self.reads: deque[Asked] = deque()
        self.answers: deque[tuple[asyncio.Future[History], History]] = deque()
        self.published: list[Publishing] = []
        self.told: list[tuple[str, bytes]] = []
        self.subscribing: dict[str, asyncio.Future[None]] = {}
        self.settling: list[asyncio.Future[None]] = []
        self.cut = False
        self.connected = True

    # What Channels asks

    async def run(self, receiver: ChannelReceiver) -> None:
        self.receiver = receiver
        await asyncio.Event().wait()

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        self.subscribing[channel] = done
        self.commands.append(lambda: self._serve(channel, done))
        return done

    def _serve(self, channel: str, done: asyncio.Future[None]) -> None:
        def acknowledge() -> None:
            if not done.done():
                self.refused.discard(channel)
                done.set_result(None)

        if not done.done():
            self.subscribed.add(channel)
            self.incoming.append(acknowledge)

    def unsubscribe(self, channel: str) -> None:
        self.refused.add(channel)
        self.commands.append(lambda: self.subscribed.discard(channel))

    async def run_publishing(self) -> None: ...

    def settle(self, channel: str = "") -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.settling.append(done)

        def settle() -> None:
            if not done.done():
                done.set_result(None)

        self.commands.append(lambda: self.incoming.append(settle))
        return done

    def read_at(self, channel: str) -> None: ...

    async def read(self, channel: str, after: int | None, history: HistoryOptions) -> History:
        asked = Asked(channel, after, asyncio.get_running_loop().create_future())
        self.reads.append(asked)
        return await asked.answer

    async def page(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        since: Position | None = None,
        reverse: bool = False,
    ) -> Page:
        stream = self.streams.setdefault(channel, Stream())
        return Page(stream.top, stream.kept[:limit])

    async def remove_history(self, channel: str) -> None:
        self.streams[channel].kept = []

    async def share_namespaces(self, said: str, *, starting: bool) -> None:
        """Nobody asks."""

    async def shared_namespaces(self) -> str | None:
        return None

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        done: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        self.published.append(publishing)
        at = self.put(publishing.channel, publishing.body) if publishing.history else None
        if at is None:
            self._arrive(publishing.channel, message(MessageKind.PUBLICATION, publishing.body))
        done.set_result(Stored(at))
        return done

    def tell(self, channel: str, message: bytes) -> asyncio.Future[Stored]:
        self.told.append((channel, message))
        self._arrive(channel, message)
        told: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        told.set_result(Stored(None))
        return told

    # What happens outside

    def put(self, channel: str, body: bytes | None = None) -> Position:
        """Something is published and kept."""
        stream = self.streams.setdefault(channel, Stream())
        epoch, offset = stream.top
        stream.top = Position(epoch, offset + 1)
        if body is None:
            body = encode(PublicationBody(b'"%b %d"' % (epoch.encode(), offset + 1)))
        stream.kept = [*stream.kept, Publication(offset + 1, body)][-self.size :]
        self._arrive(
            channel, message(MessageKind.PUBLICATION, body, epoch=epoch, offset=offset + 1)
        )
        return stream.top

    def fail_subscribing(self) -> None:
        """No subscription that is asked for comes in time."""
        for channel, done in self.subscribing.items():
            if not done.done():
                self.subscribed.discard(channel)
                done.set_exception(BrokerUnavailable("away"))

    def lose_stream(self, channel: str) -> None:
        """It begins anew, with another epoch."""
        epoch = self.streams.setdefault(channel, Stream()).top.epoch
        self.streams[channel] = Stream(Position(f"epoch{int(epoch[5:]) + 1}", 0))

    def lose(self) -> None:
        """The connection of the subscriptions breaks: what is on its way does not come.

        What is not acknowledged will be asked for again; nothing will be settled.
        """
        self.cut = True
        self.incoming.clear()
        for channel, done in self.subscribing.items():
            if channel in self.subscribed and not done.done():
                self.commands.appendleft(partial(self._serve, channel, done))
        for settling in self.settling:
            if not settling.done():
                settling.set_exception(BrokerUnavailable("away"))

    def restore(self) -> None:
        self.cut = False
        assert self.receiver is not None
        self.receiver.on_resync(self.subscribed - self.refused)

    def _arrive(self, channel: str, payload: bytes) -> None:
        def deliver() -> None:
            if channel not in self.refused and self.receiver is not None:
                self.receiver.on_messages([(channel, payload)])

        if channel in self.subscribed and not self.cut:
            self.incoming.append(deliver)

    # One small step at a time

    def serve(self) -> bool:
        """The server takes the next command."""
        if self.cut or not self.commands:
            return False
        self.commands.popleft()()
        return True

    def deliver(self) -> bool:
        """What comes next arrives."""
        if not self.incoming:
            return False
        self.incoming.popleft()()
        return True

    def look_up(self) -> bool:
        """A stream is read."""
        if not self.reads:
            return False
        asked = self.reads.popleft()
        stream = self.streams.setdefault(asked.channel, Stream())
        after = asked.after
        found = [p for p in stream.kept if after is not None and p.offset > after]
        self.answers.append((asked.answer, History(stream.top, found[-MAX_READ:])))
        return True

    def answer(self) -> bool:
        if not self.answers:
            return False
        waiting, history = self.answers.popleft()
        if not waiting.done():
            waiting.set_result(history)
        return True

    def fail_read(self) -> bool:
        if not self.reads:
            return False
        self.reads.popleft().answer.set_exception(BrokerUnavailable("away"))
        return True

    async def advance(self) -> bool:
        """One thing that is to happen; and whatever follows from it at once."""
        happened = self.serve() or self.deliver() or self.look_up() or self.answer()
        await turn()
        return happened

    async def settle_down(self) -> None:
        """Let everything come to its end."""
        await turn()
        while await self.advance():
            pass


async def turn() -> None:
    """Let callbacks and tasks go as far as they go by themselves."""
    for _ in range(5):
        await asyncio.sleep(0)
