"""A subscriber: a connection, as its channels see it."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

from gateway.errors import GatewayError
from gateway.protocol.channel_messages import ClientInfo, MessageKind, PublicationBody
from gateway.protocol.channel_steps import Reply
from gateway.protocol.ids import ConnectionId
from gateway.protocol.run import Run


class Encoding(Enum):
    """In which words a subscriber is told. What is told is put into each once a worker."""

    CENTRIFUGE_JSON = auto()
    TEXT = auto()
    TRACE = auto()

    __hash__ = object.__hash__  # that of Enum is Python, and asked for with every delivery


# From the channel, the offset (0 where none) and the publication: one message of that encoding.
EncodePublication = Callable[[str, int, PublicationBody], bytes]
# From the channel, JOIN or LEAVE, and who: one message; None where that is not told.
EncodeMember = Callable[[str, MessageKind, ClientInfo], bytes | None]


class Subscriber(Protocol):
    """Nothing here waits, and nothing raises.

    Each may call ``Channels`` again; what it asks there of the same channel is done when whatever
    led to the call is done.
    """

    @property
    def id(self) -> ConnectionId: ...

    @property
    def encoding(self) -> Encoding: ...

    def subscribed(self, channel: str, reply: Reply) -> None:
        """It is live from here on: what is after ``reply.position``, it will be sent."""
        ...

    def not_subscribed(self, channel: str, error: GatewayError) -> None:
        """It cannot be subscribed (``ChannelLimit``, ``BrokerUnavailable``). It is forgotten."""
        ...

    def insufficient(self, channel: str) -> None:
        """Publications are missing. It is no longer subscribed."""
        ...

    def left(self, channel: str) -> None:
        """It is no longer subscribed, nor about to be, as was asked. The last call for this one."""
        ...

    def deliver(self, run: Run) -> None:
        """Send messages of its encoding, behind whatever it was sent before."""
        ...
