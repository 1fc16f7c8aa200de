"""One client's session: commands in, what is to be asked out; answers in, frames out.

What clients, answers, time and the server do to it returns steps, to be done in their order.
Commands are taken and asked in their order; their replies may overtake each other, but for what
the tables of ``states`` make wait. Each command with an id gets one reply, if the connection
lives that long.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from gateway import close_codes
from gateway.close_codes import Close
from gateway.protocol.centrifuge.codes import Error, Unsubscribed
from gateway.protocol.centrifuge.commands import (
    Command,
    Connect,
    Malformed,
    OnChannel,
    Pong,
    Publish,
    Refresh,
    Request,
    SubRefresh,
    Subscribe,
    Unsubscribe,
    decode,
    decode_line,
    name_of,
)
from gateway.protocol.centrifuge.exchange import Exchange
from gateway.protocol.centrifuge.heartbeat import PING_S, PONG_S, Beat, Heartbeat
from gateway.protocol.centrifuge.refusals import LIMITS, Limits, refusal
from gateway.protocol.centrifuge.replies import (
    PING,
    ConnectResult,
    RefreshResult,
    Result,
    SubRefreshResult,
    SubscribeResult,
    message_push,
)
from gateway.protocol.centrifuge.states import MOVES, ChannelState, Event, State
from gateway.protocol.centrifuge.steps import End, Step
from gateway.protocol.centrifuge.subscriptions import MAX_TTL_S, NEVER, Subscriptions

Answer = Result | Error | Close


class Timing(NamedTuple):
    ping_s: int = PING_S
    pong_s: float = PONG_S
    stale_s: float = 10.0  # from the handshake until a client is authenticated
    expired_s: float = 25.0  # beyond the end of a token, for its refresh


TIMING: Final = Timing()


class Session:
    """No I/O and no clock: ``now`` is monotonic seconds, and never decreases.

    After an ``End`` every call returns nothing.

    Args:
        client: The connection's id, which clients see.
        version: Of the server, not empty.
        available: What is served beyond connect and unsubscribe; the rest is refused.
        first_ping: Where in its first interval the first ping comes: 0.5 to 1.0, random.
        now: When the handshake was accepted.
    """

    __slots__ = (
        "_available", "_client", "_exchange", "_expires_at", "_first_ping", "_heartbeat", "_limits",
        "_stale_at", "_subscriptions", "_timing", "_version", "_waiting", "state",
    )  # fmt: skip

    def __init__(
        self,
        client: str,
        *,
        version: str,
        available: frozenset[type[Request]],
        first_ping: float,
        now: float,
        limits: Limits = LIMITS,
        timing: Timing = TIMING,
    ) -> None:
        self._client = client
        self._version = version
        self._available = available
        self._first_ping = first_ping
        self._limits = limits
        self._timing = timing
        self._stale_at = now + timing.stale_s
        self._expires_at = NEVER  # with the time for a refresh
        self._heartbeat: Heartbeat | None = None  # once connected
        self._waiting: list[Command] = []  # for the answer to connect
        self._exchange = Exchange(limits)
        self._subscriptions = Subscriptions(
            self._exchange, max_channels=limits.channels, expired_s=timing.expired_s
        )
        self.state = State.NEW

    @property
    def full(self) -> bool:
        """At the bound: the socket must not be read until an answer has come."""
        return self._exchange.full

    @property
    def channels(self) -> dict[str, ChannelState]:
        """Each that is not ABSENT; after the end, what is to be tidied up."""
        return self._subscriptions.states()

    @property
    def due_at(self) -> float:
        """When ``tick`` is to be called next; any call may change it. Infinite after the end."""
        if self.state is State.CLOSED:
            return NEVER
        if self._heartbeat is None:
            return self._stale_at
        return min(self._heartbeat.due_at, self._expires_at, self._subscriptions.due_at)

    # What the client does

    def receive(self, text: str) -> list[Step]:
        """A text frame has come, within the size of a message."""
        if self.state is not State.CLOSED:
            if "\n" in text:
                self._receive(text)
            else:
                self._take(decode_line(text))
        return self._exchange.steps.take()

    def _receive(self, text: str) -> None:
        for command in decode(text):
            self._take(command)
            if self.state is State.CLOSED:
                break

    def _take(self, command: Command | Malformed) -> None:
        if isinstance(command, Malformed):
            self._end(close_codes.BAD_REQUEST, command.why)
            return
        kind = type(command.request)
        if kind is Pong:
            if self._heartbeat is None or not self._heartbeat.pong():
                self._end(close_codes.BAD_REQUEST, "a pong without a ping")
        elif kind is Connect:
            if self._move(Event.CONNECT):
                self._exchange.begin(command)
                self._exchange.ask(command)
        elif self._move(Event.COMMAND):
            self._exchange.begin(command)
            if self.state is State.CONNECTING:
                self._waiting.append(command)
            else:
                self._perform(command)

    def _move(self, event: Event) -> bool:
        moved = MOVES.get((self.state, event))
        if moved is None:
            self._end(close_codes.BAD_REQUEST, f"{event.value} while {self.state.value}")
            return False
        self.state = moved
        return True

    def _perform(self, command: Command) -> None:
        """Do a command of a connected client."""
        request = command.request
        refused = refusal(request, available=self._available, limits=self._limits)
        if isinstance(refused, Close):
            self._end(refused, name_of(request))
        elif refused is not None:
            self._exchange.refuse(command, refused)
        elif isinstance(request, OnChannel):
            self._subscriptions.on_command(command, request)
        else:
            self._exchange.ask(command)

    # What is answered

    def answer(self, ticket: int, answer: Answer, now: float) -> list[Step]:
        """What was asked is done, or cannot be. Nothing if it was answered before."""
        exchange = self._exchange
        was_full = exchange.full
        command = exchange.answered(ticket)
        if command is not None and self.state is not State.CLOSED:
            if isinstance(answer, Close):
                self._end(answer, name_of(command.request))
            elif isinstance(answer, Error):
                self._failed(command, answer, now)
            else:
                self._done(command, answer, now)
        if was_full and not exchange.full and self._heartbeat is not None:
            self._heartbeat.reads_again(now)
        return exchange.steps.take()

    def _failed(self, command: Command, error: Error, now: float) -> None:
        self._exchange.refuse(command, error)
        match command.request:
            case Connect():
                self._move(Event.REFUSED)
                # What came together with the connect could not know. A close with 3501 for it
                # would keep the client from ever trying again.
                waiting, self._waiting = self._waiting, []
                for other in waiting:
                    self._exchange.refuse(other, error)
            case Subscribe(channel=name):
                self._subscriptions.refused(name, now)
            case Unsubscribe(channel=name):
                self._subscriptions.gone(name)

    def _done(self, command: Command, result: Result, now: float) -> None:
        match command.request, result:
            case Publish(), _:  # first, as most are
                self._exchange.reply(command, result)
            case Connect(), ConnectResult():
                self._connected(command, result, now)
            case Subscribe(channel=name), SubscribeResult():
                self._subscriptions.subscribed(command, name, result, now)
            case Unsubscribe(channel=name), _:
                self._exchange.reply(command, result)
                self._subscriptions.gone(name)
            case Refresh(), RefreshResult():
                self._refreshed(command, result, now)
            case SubRefresh(channel=name), SubRefreshResult():
                self._subscriptions.refreshed(command, name, result, now)
            case _:
                self._exchange.reply(command, result)

    def _connected(self, command: Command, result: ConnectResult, now: float) -> None:
        too_many = self._subscriptions.take(result.subs, now)
        if too_many is not None:
            self._end(too_many, f"{len(result.subs)} subscriptions by the server")
            return
        self._move(Event.ACCEPTED)
        self._heartbeat = Heartbeat(
            ping_s=self._timing.ping_s,
            pong_s=self._timing.pong_s,
            first_share=self._first_ping,
            now=now,
        )
        ttl = self._expire_in(result.ttl, now)
        told = msgspec.structs.replace(
            result,
            client=self._client,
            version=self._version,
            expires=ttl > 0,
            ttl=ttl,
            subs={  # their time is no concern of the client, which cannot refresh them
                name: msgspec.structs.replace(sub, expires=False, ttl=0)
                for name, sub in result.subs.items()
            },
            ping=self._timing.ping_s,
            pong=True,
        )
        self._exchange.reply(command, told)
        waiting, self._waiting = self._waiting, []
        for other in waiting:
            self._perform(other)
            if self.state is State.CLOSED:
                break

    def _refreshed(self, command: Command, result: RefreshResult, now: float) -> None:
        ttl = self._expire_in(result.ttl, now)
        told = RefreshResult(client=self._client, version=self._version, expires=ttl > 0, ttl=ttl)
        self._exchange.reply(command, told)

    def _expire_in(self, ttl_s: int, now: float) -> int:
        ttl_s = min(ttl_s, MAX_TTL_S)
        self._expires_at = now + ttl_s + self._timing.expired_s if ttl_s else NEVER
        return ttl_s

    # What time does

    def tick(self, now: float, *, reading: bool = True) -> list[Step]:
        """``due_at`` has come. Nothing before. ``reading``: the socket is, as far as others say."""
        if self.state is not State.CLOSED:
            if self._heartbeat is None:
                if now >= self._stale_at:
                    self._end(close_codes.STALE, f"not authenticated in time: {self.state.value}")
            else:
                self._tick(self._heartbeat, now, reading=reading and not self.full)
        return self._exchange.steps.take()

    def _tick(self, heartbeat: Heartbeat, now: float, *, reading: bool) -> None:
        if now >= self._expires_at:
            self._end(close_codes.EXPIRED, "not refreshed in time")
            return
        expired = self._subscriptions.expire(now)
        if expired is not None:
            self._end(expired, "a subscription by the server")
            return
        beat = heartbeat.beat(now, reading=reading)
        if beat is Beat.NO_PONG:
            self._end(close_codes.NO_PONG, "no pong in time")
        elif beat is Beat.PING:
            self._exchange.steps.message(PING)

    # What the server does. Before the client is connected, and after the end: nothing.

    def subscribe(self, channel: str, result: SubscribeResult, now: float) -> list[Step]:
        """The server has subscribed the client. Nothing if it is already.

        A client that is about to be by its own wish is told of it once that is refused.
        """
        if self.state is State.CONNECTED:
            self._end_if(self._subscriptions.add(channel, result, now), channel)
        return self._exchange.steps.take()

    def unsubscribe(self, channel: str, ended: Unsubscribed) -> list[Step]:
        """Tell the client that it is subscribed no more, and ask for what that takes."""
        if self.state is State.CONNECTED:
            self._subscriptions.end(channel, ended)
        return self._exchange.steps.take()

    def ends_at(self, channel: str, at: float) -> None:
        """Let a subscription expire at a time of which its client is not told."""
        self._subscriptions.ends_at(channel, at)

    def insufficient(self, channel: str) -> list[Step]:
        """A positioned subscription has missed something."""
        if self.state is State.CONNECTED:
            self._end_if(self._subscriptions.insufficient(channel), channel)
        return self._exchange.steps.take()

    def send(self, data: msgspec.Raw) -> list[Step]:
        """A message out of turn, outside of channels. ``data``: ``replies.embeddable``."""
        if self.state is State.CONNECTED:
            self._exchange.steps.message(message_push(data))
        return self._exchange.steps.take()

    def close(self, close: Close, why: str) -> list[Step]:
        """Nothing if it is closed."""
        if self.state is not State.CLOSED:
            self._end(close, why)
        return self._exchange.steps.take()

    def _end_if(self, close: Close | None, why: str) -> None:
        if close is not None:
            self._end(close, why)

    def _end(self, close: Close, why: str) -> None:
        self.state = MOVES[self.state, Event.CLOSE]
        self._exchange.steps.then(End(close, why))
