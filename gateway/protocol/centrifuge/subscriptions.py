"""The channels of one connected client: what its commands find there, and how they end."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.close_codes import CHANNEL_LIMIT, Close
from gateway.close_codes import INSUFFICIENT_STATE as CONNECTION_INSUFFICIENT
from gateway.close_codes import SUBSCRIPTION_EXPIRED as CONNECTION_EXPIRED
from gateway.protocol.centrifuge.codes import (
    INSUFFICIENT_STATE,
    LIMIT_EXCEEDED,
    SUBSCRIPTION_EXPIRED,
    Error,
    Unsubscribed,
)
from gateway.protocol.centrifuge.commands import Command, OnChannel, Subscribe, Unsubscribe
from gateway.protocol.centrifuge.exchange import Exchange
from gateway.protocol.centrifuge.replies import (
    Empty,
    SubRefreshResult,
    SubscribeResult,
    subscribe_push,
    unsubscribe_push,
)
from gateway.protocol.centrifuge.states import ON_COMMAND, ChannelState, Verdict

MAX_TTL_S: Final = 365 * 24 * 3600
NEVER: Final = float("inf")


class _Channel:
    """A channel that is not ABSENT.

    Attributes:
        by_server: The server has subscribed the client, which cannot subscribe again by itself.
        expires_at: With the time for a refresh.
        ends_at: When it ends however it is refreshed.
        ended: The server has ended it while it was SUBSCRIBING.
        offered: The server has subscribed the client while it was SUBSCRIBING.
        waiting: Commands until the state changes.
    """

    __slots__ = ("by_server", "ended", "ends_at", "expires_at", "offered", "state", "waiting")

    def __init__(self, state: ChannelState, *, by_server: bool) -> None:
        self.state = state
        self.by_server = by_server
        self.expires_at = self.ends_at = NEVER
        self.ended: Unsubscribed | None = None
        self.offered: SubscribeResult | None = None
        self.waiting: list[tuple[Command, OnChannel]] = []

    @property
    def due_at(self) -> float:
        return min(self.expires_at, self.ends_at)

    def unsubscribing(self) -> None:
        self.state = ChannelState.UNSUBSCRIBING
        self.expires_at = self.ends_at = NEVER


class Subscriptions:
    """Each returned close ends the connection, and nothing is called after it."""

    __slots__ = ("_channels", "_exchange", "_expired_s", "_max_channels")

    def __init__(self, exchange: Exchange, *, max_channels: int, expired_s: float) -> None:
        self._exchange = exchange
        self._max_channels = max_channels
        self._expired_s = expired_s
        self._channels: dict[str, _Channel] = {}

    def states(self) -> dict[str, ChannelState]:
        return {name: channel.state for name, channel in self._channels.items()}

    # What the client does

    def on_command(self, command: Command, request: OnChannel) -> None:
        channel = self._channels.get(request.channel)
        state = ChannelState.ABSENT if channel is None else channel.state
        verdict = ON_COMMAND[state, type(request)]
        if isinstance(verdict, Error):
            self._exchange.refuse(command, verdict)
        elif verdict is Verdict.DONE:
            self._exchange.reply(command, Empty())
        elif channel is None:
            if isinstance(request, Subscribe):
                self._begin(command, request)
            else:
                self._exchange.ask(command)
        elif verdict is Verdict.WAIT:
            channel.waiting.append((command, request))
        else:
            if isinstance(request, Unsubscribe):
                channel.unsubscribing()
            self._exchange.ask(command)

    def _begin(self, command: Command, request: Subscribe) -> None:
        if len(self._channels) >= self._max_channels:
            self._exchange.refuse(command, LIMIT_EXCEEDED)
            return
        self._channels[request.channel] = _Channel(ChannelState.SUBSCRIBING, by_server=False)
        self._exchange.ask(command)

    # What is answered

    def subscribed(self, command: Command, name: str, result: SubscribeResult, now: float) -> None:
        """Reply first: nothing of the channel may be sent before."""
        channel = self._channels[name]
        channel.state = ChannelState.SUBSCRIBED
        channel.offered = None
        ttl = min(result.ttl, MAX_TTL_S)
        channel.expires_at = self._end_of(ttl, now)
        self._exchange.reply(command, msgspec.structs.replace(result, expires=ttl > 0, ttl=ttl))
        if channel.ended is None:
            self._wake(channel)
        else:
            self._leave(name, channel, channel.ended)

    def gone(self, name: str) -> None:
        """It is unsubscribed, and that is said."""
        self._wake(self._channels.pop(name))

    def refused(self, name: str, now: float) -> None:
        """Its subscribe was, and that is said. It is told now if the server has subscribed it."""
        channel = self._channels.pop(name)
        if channel.offered is not None:
            self._add(name, channel.offered, now)
            self._exchange.steps.message(subscribe_push(name, channel.offered))
        self._wake(channel)

    def refreshed(self, command: Command, name: str, result: SubRefreshResult, now: float) -> None:
        channel = self._channels.get(name)
        ttl = min(result.ttl, MAX_TTL_S)
        if channel is not None and channel.state is ChannelState.SUBSCRIBED:
            channel.expires_at = self._end_of(ttl, now)
        self._exchange.reply(command, SubRefreshResult(expires=ttl > 0, ttl=ttl))

    def ends_at(self, name: str, at: float) -> None:
        channel = self._channels.get(name)
        if channel is not None and channel.state is ChannelState.SUBSCRIBED:
            channel.ends_at = at

    def _wake(self, channel: _Channel) -> None:
        waiting, channel.waiting = channel.waiting, []
        for command, request in waiting:
            self.on_command(command, request)

    # What the server does

    def take(self, subs: dict[str, SubscribeResult], now: float) -> Close | None:
        """The server subscribes the client as it connects."""
        if len(subs) > self._max_channels:
            return CHANNEL_LIMIT
        for name, result in subs.items():
            self._add(name, result, now)
        return None

    def add(self, name: str, result: SubscribeResult, now: float) -> Close | None:
        """The server subscribes the client; nothing if it is, or is about to go.

        Who is about to be by itself is told only if that is refused.
        """
        channel = self._channels.get(name)
        if channel is not None:
            if channel.state is ChannelState.SUBSCRIBING:
                channel.offered = result
                channel.ended = None
            return None
        if len(self._channels) >= self._max_channels:
            return CHANNEL_LIMIT
        self._add(name, result, now)
        self._exchange.steps.message(subscribe_push(name, result))
        return None

    def _add(self, name: str, result: SubscribeResult, now: float) -> None:
        channel = _Channel(ChannelState.SUBSCRIBED, by_server=True)
        channel.expires_at = self._end_of(result.ttl, now)
        self._channels[name] = channel

    def end(self, name: str, ended: Unsubscribed) -> None:
        """The server unsubscribes the client, or does so as soon as it is subscribed."""
        channel = self._channels.get(name)
        if channel is None:
            return
        if channel.state is ChannelState.SUBSCRIBING:
            channel.ended = ended
            channel.offered = None
        elif channel.state is ChannelState.SUBSCRIBED:
            self._leave(name, channel, ended)

    def insufficient(self, name: str) -> Close | None:
        """Something was missed. The client recovers: by a new subscription, or connection."""
        channel = self._channels.get(name)
        if channel is not None and (channel.by_server or channel.offered is not None):
            return CONNECTION_INSUFFICIENT
        self.end(name, INSUFFICIENT_STATE)
        return None

    def _leave(self, name: str, channel: _Channel, ended: Unsubscribed) -> None:
        command = Command(0, Unsubscribe(name))
        channel.unsubscribing()
        self._exchange.begin(command)
        self._exchange.steps.message(unsubscribe_push(name, ended))
        self._exchange.ask(command, ended)

    # Expiry

    @property
    def due_at(self) -> float:
        return min((channel.due_at for channel in self._channels.values()), default=NEVER)

    def expire(self, now: float) -> Close | None:
        """End what was not refreshed in time."""
        for name, channel in self._channels.items():
            if now >= channel.due_at:
                if channel.by_server:
                    return CONNECTION_EXPIRED
                self._leave(name, channel, SUBSCRIPTION_EXPIRED)
        return None

    def _end_of(self, ttl: int, now: float) -> float:
        return now + ttl + self._expired_s if ttl else NEVER
