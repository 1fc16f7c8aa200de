"""A stream, a broker and clients around one worker's channel, moved one small step at a time.

Two connections, as with Redis: on the one commands of the subscription and what is delivered, in
order; on the other reads, which see the stream at a moment between question and answer. Every
client checks what it is told: each publication once and in order, or a declared gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from gateway.protocol.channel_position import Position
from gateway.protocol.channel_steps import (
    Deliver,
    Insufficient,
    Linger,
    Read,
    Refuse,
    Release,
    Reply,
    Settle,
    Step,
    Subscribe,
    Wish,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import MAX_READ, History, Publication
from gateway.protocol.worker_channel import State, WorkerChannel


@dataclass
class Client:
    """What one client knows, and whether it may be told anything."""

    id: ConnectionId
    positioned: bool = True
    at: Position | None = None
    wish: Wish | None = None  # it has asked to subscribe, and waits
    live: bool = False
    got: list[bytes] = field(default_factory=list)  # since it has subscribed
    gaps: int = 0  # that were declared
    recovered: list[bool] = field(default_factory=list)


class World:
    """One channel, its worker and its clients."""

    def __init__(self, history_size: int = 4, *, reads_first: bool = False) -> None:
        self.channel = WorkerChannel()
        self.clients: dict[ConnectionId, Client] = {}
        self.history_size = history_size
        self.reads_first = reads_first  # reads are faster than deliveries
        self.top = Position("epoch1", 0)
        self.stream: list[Publication] = []
        self.published: dict[Position, bytes] = {}
        self.order: dict[bytes, int] = {}
        self.subscribed = False  # at the broker
        self.cut = False
        self.flushed = False
        self.trimmed = False
        self.lost = False  # something that was delivered, or was to be
        self.commands: deque[Subscribe | Release | Settle] = deque()
        self.incoming: deque[Subscribe | Settle | tuple[str, Publication]] = deque()
        self.asked: deque[Read] = deque()
        self.answers: deque[tuple[int, History]] = deque()
        self.lingering: deque[Linger] = deque()
        self.taken: list[Step] = []

    # What happens outside

    def publish(self) -> None:
        self.top = Position(self.top.epoch, self.top.offset + 1)
        payload = f"{self.top.epoch} {self.top.offset}".encode()
        self.order[payload] = len(self.order)
        self.published[self.top] = payload
        self.stream = [*self.stream, Publication(self.top.offset, payload)][-self.history_size :]
        self.trimmed = self.trimmed or self.top.offset > self.history_size
        if self.subscribed and not self.cut:
            self.incoming.append((self.top.epoch, self.stream[-1]))

    def flush(self) -> None:
        """The stream is lost, and its epoch with it."""
        self.top = Position(f"epoch{int(self.top.epoch[5:]) + 1}", 0)
        self.stream = []
        self.flushed = True

    def lose(self) -> None:
        """The link of the subscription breaks: what is on its way is lost, and what comes now."""
        if not self.cut:
            self.cut = self.lost = True
            unanswered = [c for c in self.incoming if isinstance(c, Subscribe)]
            unsent = [c for c in self.commands if not isinstance(c, Settle)]
            self.incoming.clear()
            self.commands = deque([*unanswered, *unsent])

    def restore(self) -> None:
        """The broker has subscribed again, and says so."""
        if self.cut:
            self.cut = False
            self.take(self.channel.resync())

    # What clients do

    def client(self, name: str, *, positioned: bool = True) -> Client:
        id_ = ConnectionId(name)
        return self.clients.setdefault(id_, Client(id_, positioned))

    def join(self, name: str, *, positioned: bool = True) -> None:
        client = self.client(name, positioned=positioned)
        if not client.live and client.wish is None:
            client.wish = Wish(client.positioned, client.at if client.positioned else None)
            self.take(self.channel.join(client.id, client.wish))

    def leave(self, name: str) -> None:
        client = self.client(name)
        client.live, client.wish = False, None
        self.take(self.channel.leave(client.id))

    # What is on its way

    def serve(self) -> bool:
        """The broker takes the next command."""
        if self.cut or not self.commands:
            return False
        command = self.commands.popleft()
        if isinstance(command, Release):
            self.subscribed = False
        else:
            self.subscribed = self.subscribed or isinstance(command, Subscribe)
            self.incoming.append(command)
        return True

    def deliver(self) -> bool:
        if not self.incoming:
            return False
        match self.incoming.popleft():
            case Subscribe(number):
                self.take(self.channel.acknowledged(number))
            case Settle(number):
                self.take(self.channel.settled(number))
            case (epoch, publication):
                self.take(self.channel.arrived(epoch, publication))
        return True

    def look_up(self) -> bool:
        """The stream is read."""
        if not self.asked:
            return False
        read = self.asked.popleft()
        after = read.after
        found = [p for p in self.stream if after is not None and p.offset > after][-MAX_READ:]
        self.answers.append((read.number, History(self.top, found)))
        return True

    def answer(self) -> bool:
        if not self.answers:
            return False
        self.take(self.channel.read(*self.answers.popleft()))
        return True

    def fail_read(self) -> bool:
        if not self.asked:
            return False
        self.take(self.channel.read_failed(self.asked.popleft().number))
        return True

    def linger(self) -> bool:
        if not self.lingering:
            return False
        self.take(self.channel.lingered(self.lingering.popleft().number))
        return True

    def advance(self) -> bool:
        """Whatever comes next, if nothing else happens."""
        if self.reads_first and (self.look_up() or self.answer()):
            return True
        return self.serve() or self.deliver() or self.look_up() or self.answer()

    def settle(self) -> None:
        """Let everything come to its end. Only a stream that was lost in silence needs a look."""
        self.restore()
        while self.advance():
            pass
        if self.channel.owes_look or self.flushed:
            self.take(self.channel.look())
        while self.advance():
            pass

    # What the worker does

    def take(self, steps: Sequence[Step]) -> None:
        for step in steps:
            self.taken.append(step)
            match step:
                case Subscribe() | Release() | Settle():
                    self.commands.append(step)
                case Read():
                    self.asked.append(step)
                case Linger():
                    self.lingering.append(step)
                case Reply():
                    self.reply(step)
                case Refuse(subscriber):
                    assert self.clients[subscriber].wish is not None
                    self.clients[subscriber].wish = None
                case Deliver(publication, to):
                    for subscriber in [who for some in to for who in some]:
                        self.receive(self.clients[subscriber], publication)
                case Insufficient(subscribers):
                    self.tell(subscribers)

    def tell(self, subscribers: Collection[ConnectionId]) -> None:
        for subscriber in subscribers:
            client = self.clients[subscriber]
            assert client.live
            assert client.positioned
            client.live = False
            client.gaps += 1

    def reply(self, reply: Reply) -> None:
        client = self.clients[reply.subscriber]
        wish = client.wish
        assert wish is not None, "a reply to who has not asked, or has left"
        client.wish, client.live, client.got = None, True, []
        assert (reply.position is not None) == client.positioned
        assert (reply.recovered is not None) == (wish.since is not None)
        if reply.recovered is not None:
            client.recovered.append(reply.recovered)
        if not reply.recovered:
            assert not reply.publications
            client.gaps += reply.recovered is False
            client.at = reply.position
            return
        for publication in reply.publications:
            self.receive(client, publication)
        assert client.at == reply.position

    def receive(self, client: Client, publication: Publication) -> None:
        assert client.live, "sent to who is not subscribed"
        if client.positioned:
            assert client.at is not None
            client.at = Position(client.at.epoch, client.at.offset + 1)
            assert self.published[client.at] == publication.payload
        elif client.got:
            before, now = self.order[client.got[-1]], self.order[publication.payload]
            assert before < now
            assert now == before + 1 or self.lost, "it lacks something, and nothing was lost"
        client.got.append(publication.payload)

    def check(self) -> None:
        """To be called when everything has come to its end."""
        assert not self.channel.owes_look
        for client in self.clients.values():
            if not self.flushed and not self.trimmed:
                assert all(client.recovered), "not recovered, though all of it is there"
                assert not client.gaps or self.lost, "a gap is declared, and nothing was lost"
            assert client.wish is None, f"{client.id} was not answered"
            if client.live and client.positioned:
                assert client.at == self.top, f"{client.id} lacks something, and was not told"
        live = {client.id: client.positioned for client in self.clients.values() if client.live}
        assert set(self.channel.positioned) == {
            who for who, positioned in live.items() if positioned
        }
        assert set(self.channel.others) == {
            who for who, positioned in live.items() if not positioned
        }
        assert self.subscribed == (self.channel.state is not State.RELEASED)
