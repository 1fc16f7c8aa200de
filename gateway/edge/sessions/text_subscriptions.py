"""Text sockets in channels: the application subscribes them, and publications leave as texts.

They are members like anybody. Who else joins and leaves they are not told: their clients could not
tell it from a publication.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import msgspec

from gateway.channels.channels import Channels
from gateway.channels.fan_out import FanOut
from gateway.channels.presence import ChannelPresence
from gateway.channels.subscriber import Encoding
from gateway.edge.sessions.base import Recipient
from gateway.errors import BrokerUnavailable, GatewayError, UnknownChannel
from gateway.log import get_logger
from gateway.messaging.hub import Done
from gateway.messaging.tell_all import tell_all
from gateway.protocol.channel_messages import ClientInfo, MessageKind, PublicationBody
from gateway.protocol.channel_names import namespace_of
from gateway.protocol.channel_steps import Reply
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt
from gateway.protocol.reports import is_reserved

log = get_logger(__name__)

_encode: Final = msgspec.json.Encoder().encode
_read_string: Final = msgspec.json.Decoder(str).decode


class _Publication(msgspec.Struct):
    channel: str
    publication: msgspec.Raw


def as_text(channel: str, offset: int, body: PublicationBody) -> bytes:  # noqa: ARG001
    """A JSON string as its text, anything else as the JSON that it is."""
    data = body.data
    if data[:1] == b'"':
        try:
            return _read_string(data).encode()
        except (msgspec.DecodeError, UnicodeError):  # half of a pair: no text says that
            return data
    return data


def as_trace(channel: str, offset: int, body: PublicationBody) -> bytes:  # noqa: ARG001
    return _encode(_Publication(channel, msgspec.Raw(body.data)))


def _untold(channel: str, kind: MessageKind, info: ClientInfo) -> None:
    """Who joins and leaves is not said to text sockets."""


def register_encodings(fan_out: FanOut) -> None:
    fan_out.register(Encoding.TEXT, as_text, _untold)
    fan_out.register(Encoding.TRACE, as_trace, _untold)


class TextSubscription:
    """One text socket in one channel: a ``Subscriber`` without a position.

    Whatever arrives it is sent; what the worker has missed, it is not. Whoever wants it is told
    that it has subscribed once others see it among the members. However it ends, it leaves them.
    """

    __slots__ = (
        "_channels", "_ended", "_entered", "_live", "_presence", "_waiting", "deliver", "encoding",
        "id",
    )  # fmt: skip

    def __init__(
        self,
        channels: Channels,
        presence: ChannelPresence,
        recipient: Recipient,
        encoding: Encoding,
        done: Done,
    ) -> None:
        self.id = recipient.id
        self.encoding = encoding
        self.deliver = recipient.send_run
        self._channels = channels
        self._presence = presence
        self._live = self._entered = self._ended = False
        self._waiting = [done]

    def begin(self, channel: str, user: str) -> None:
        """Subscribe, and enter at the same time.

        Raises:
            BadChannel: Nothing may be called that.
            UnknownChannel: Its namespace is not set up.
        """
        if is_reserved(channel):
            raise UnknownChannel(f"there is no namespace {namespace_of(channel)!r}")
        self._channels.subscribe(self, channel)
        if self._ended:
            return
        try:
            self._enter(channel, user)
        except Exception:  # whoever else wants it would wait for this one
            log.exception("subscription failed", channel=channel, connection_id=self.id)
            self._fail(channel, "it cannot be seen among the members")

    def _enter(self, channel: str, user: str) -> None:
        entering = self._presence.enter(channel, ClientInfo(user, self.id))
        if entering.done():
            self._is_entered(channel, entering)
        else:
            entering.add_done_callback(partial(self._is_entered, channel))

    def wait(self, done: Done) -> None:
        """Tell ``done`` too: it wants what is under way, or done."""
        if self._live and self._entered:
            done(Receipt.WRITTEN)
        else:
            self._waiting.append(done)

    def _is_entered(self, channel: str, entering: asyncio.Future[None]) -> None:
        if self._ended:
            return
        error = "it is not waited for" if entering.cancelled() else entering.exception()
        if error is None:
            self._entered = True
            self._settle_if_there(channel)
        else:
            self._fail(channel, str(error))

    def _fail(self, channel: str, why: str) -> None:
        self._settle(BrokerUnavailable(why))
        self._channels.unsubscribe(self.id, channel)

    def _settle_if_there(self, channel: str) -> None:
        if self._live and self._entered:
            self._settle(Receipt.WRITTEN)
            self._presence.joined(channel, self.id)

    def _end(self, channel: str, result: Receipt | GatewayError) -> None:
        self._ended = True
        self._settle(result)
        self._presence.leave(channel, self.id)

    def _settle(self, result: Receipt | GatewayError) -> None:
        waiting, self._waiting = self._waiting, []
        tell_all(waiting, result)

    # Subscriber

    def subscribed(self, channel: str, reply: Reply) -> None:  # noqa: ARG002 (a subscriber's)
        self._live = True
        self._settle_if_there(channel)

    def not_subscribed(self, channel: str, error: GatewayError) -> None:
        self._end(channel, error)

    def insufficient(self, channel: str) -> None:
        """It has no position that could not hold."""

    def left(self, channel: str) -> None:
        self._end(channel, Receipt.GONE)


class TextChannels:
    """Text sockets' subscriptions. They are kept where those of all are, in ``Channels``."""

    def __init__(self, channels: Channels, presence: ChannelPresence) -> None:
        self._channels = channels
        self._presence = presence

    def subscribe(self, recipient: Recipient, encoding: Encoding, channel: str, done: Done) -> None:
        """See ``Session.subscribe``."""
        subscription = self._channels.subscriber(recipient.id, channel)
        if isinstance(subscription, TextSubscription):
            subscription.wait(done)
            return
        subscription = TextSubscription(self._channels, self._presence, recipient, encoding, done)
        try:
            subscription.begin(channel, recipient.user or "")
        except GatewayError as error:
            done(error)

    def unsubscribe(self, connection: ConnectionId, channel: str) -> None:
        self._channels.unsubscribe(connection, channel)

    def hand_over(self, recipient: Recipient) -> None:
        """What a connection has subscribed to, ``recipient`` is sent from now on."""
        for channel in self._channels.channels_of(recipient.id):
            subscription = self._channels.subscriber(recipient.id, channel)
            if isinstance(subscription, TextSubscription):
                subscription.deliver = recipient.send_run
