"""Text sockets in channels: the application subscribes them, and publications leave as texts."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.channels.channels import Channels
from gateway.channels.fan_out import FanOut
from gateway.channels.subscriber import Encoding
from gateway.edge.sessions.base import OpenConnection
from gateway.errors import GatewayError
from gateway.messaging.hub import Done
from gateway.protocol.channel_messages import ClientInfo, MessageKind, PublicationBody
from gateway.protocol.channel_steps import Reply
from gateway.protocol.receipt import Receipt

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

    Whatever arrives it is sent; what the worker has missed, it is not.
    """

    __slots__ = ("_waiting", "deliver", "encoding", "id", "live")

    def __init__(self, connection: OpenConnection, encoding: Encoding, done: Done) -> None:
        self.id = connection.id
        self.encoding = encoding
        self.deliver = connection.send
        self.live = False
        self._waiting = [done]

    def subscribed(self, channel: str, reply: Reply) -> None:  # noqa: ARG002 (a subscriber's)
        self.live = True
        self._settle(Receipt.WRITTEN)

    def not_subscribed(self, channel: str, error: GatewayError) -> None:  # noqa: ARG002
        self._settle(error)

    def insufficient(self, channel: str) -> None:
        """It has no position that could not hold."""

    def left(self, channel: str) -> None:  # noqa: ARG002
        self._settle(Receipt.GONE)

    def wait(self, done: Done) -> None:
        """Tell ``done`` too: it wants what is under way, or done."""
        if self.live:
            done(Receipt.WRITTEN)
        else:
            self._waiting.append(done)

    def _settle(self, result: Receipt | GatewayError) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(result)


def subscribe(
    channels: Channels, connection: OpenConnection, encoding: Encoding, channel: str, done: Done
) -> None:
    """``Session.subscribe`` of a text session."""
    subscription = channels.subscriber(connection.id, channel)
    if isinstance(subscription, TextSubscription):
        subscription.wait(done)
        return
    try:
        channels.subscribe(TextSubscription(connection, encoding, done), channel)
    except GatewayError as error:
        done(error)
