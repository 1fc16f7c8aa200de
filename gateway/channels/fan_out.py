"""From a publication to the sockets: decoded once a worker, encoded once an encoding.

Nothing here waits, and there is neither a task nor a copy for a recipient.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import msgspec

from gateway.channels.subscriber import EncodeMember, EncodePublication, Encoding, Subscriber
from gateway.metrics import Counters
from gateway.protocol.channel_messages import (
    ClientInfo,
    MessageKind,
    read_client_info,
    read_publication,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import Publication

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)


class FanOut:
    """Gives subscribers what is told to a channel, each in its encoding."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._publication: dict[Encoding, EncodePublication] = {}
        self._member: dict[Encoding, EncodeMember] = {}

    def register(
        self, encoding: Encoding, publication: EncodePublication, member: EncodeMember
    ) -> None:
        """Say how an encoding is written. Before anybody of it subscribes."""
        self._publication[encoding] = publication
        self._member[encoding] = member

    def publication(
        self,
        channel: str,
        publication: Publication,
        to: Iterable[Collection[ConnectionId]],
        subscribers: Mapping[ConnectionId, Subscriber],
    ) -> None:
        """Deliver a publication to everybody in ``to``. One that cannot be read is counted."""
        to = [some for some in to if some]
        if not to:
            return
        try:
            body = read_publication(publication.payload)
        except _UNREADABLE:
            self._counters.unreadable += 1
            return
        encode, offset = self._publication, publication.offset
        messages: dict[Encoding, bytes] = {}
        for some in to:
            self._counters.deliveries += len(some)
            for name in some:
                subscriber = subscribers.get(name)
                if subscriber is None:  # has left while others were told
                    continue
                encoding = subscriber.encoding
                message = messages.get(encoding)
                if message is None:
                    message = messages[encoding] = encode[encoding](channel, offset, body)
                subscriber.deliver(message)

    def member(
        self, channel: str, kind: MessageKind, body: bytes, to: Iterable[Subscriber]
    ) -> None:
        """Tell of a join or a leave."""
        try:
            info: ClientInfo = read_client_info(body)
        except _UNREADABLE:
            self._counters.unreadable += 1
            return
        messages: dict[Encoding, bytes | None] = {}
        for subscriber in to:
            encoding = subscriber.encoding
            if encoding not in messages:
                messages[encoding] = self._member[encoding](channel, kind, info)
            message = messages[encoding]
            if message is not None:
                subscriber.deliver(message)
