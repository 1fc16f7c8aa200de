"""From publications to the sockets: decoded once a worker, encoded and framed once an encoding.

What one read of the broker's has brought for a channel is a *run*: whoever gets it shares its
bytes. Nothing here waits, and there is neither a task nor a copy for a recipient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from gateway.channels.subscriber import EncodeMember, EncodePublication, Encoding, Subscriber
from gateway.log import get_logger
from gateway.log.seldom import Seldom
from gateway.metrics import Counters
from gateway.protocol.channel_messages import (
    ClientInfo,
    MessageKind,
    PublicationBody,
    read_client_info,
    read_publication,
)
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import Publication
from gateway.protocol.run import Run

log = get_logger(__name__)

TELL_EACH_S: Final = 10.0
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)


class FanOut:
    """Gives subscribers what is told to a channel, each in its encoding."""

    def __init__(self, counters: Counters, *, now: Callable[[], float] = time.monotonic) -> None:
        self._counters = counters
        self._unreadable = Seldom(TELL_EACH_S, now)
        self._publication: dict[Encoding, EncodePublication] = {}
        self._member: dict[Encoding, EncodeMember] = {}

    def register(
        self, encoding: Encoding, publication: EncodePublication, member: EncodeMember
    ) -> None:
        """Say how an encoding is written. Before anybody of it subscribes."""
        self._publication[encoding] = publication
        self._member[encoding] = member

    def publications(
        self,
        channel: str,
        publications: Sequence[Publication],
        to: Iterable[Collection[ConnectionId]],
        subscribers: Mapping[ConnectionId, Subscriber],
        *,
        at_once: bool = False,
    ) -> None:
        """Deliver publications, in order, to everybody in ``to``.

        One that cannot be read is left out (``unreadable``).

        Args:
            at_once: See ``Run``.
        """
        to = [some for some in to if some]
        bodies = self._read(channel, publications) if to else ()
        if not bodies:
            return
        encode, count = self._publication, len(bodies)
        runs: dict[Encoding, Run] = {}
        for some in to:
            self._counters.deliveries += count * len(some)
            for name in some:
                subscriber = subscribers.get(name)
                if subscriber is None:  # has left while others were told
                    continue
                encoding = subscriber.encoding
                run = runs.get(encoding)
                if run is None:
                    one = encode[encoding]
                    messages = [one(channel, offset, body) for offset, body in bodies]
                    run = runs[encoding] = Run(messages, at_once=at_once)
                subscriber.deliver(run)

    def unreadable(self, channel: str) -> None:
        """Count a message of a channel that cannot be read, and name the channel now and then.

        Whoever may publish in our channels may do so without end.
        """
        self._counters.unreadable += 1
        if messages := self._unreadable.again():
            log.warning("channel message unreadable", channel=channel, messages=messages)

    def _read(
        self, channel: str, publications: Iterable[Publication]
    ) -> list[tuple[int, PublicationBody]]:
        bodies: list[tuple[int, PublicationBody]] = []
        for offset, payload in publications:
            try:
                bodies.append((offset, read_publication(payload)))
            except _UNREADABLE:
                self.unreadable(channel)
        return bodies

    def member(
        self, channel: str, kind: MessageKind, body: bytes, to: Iterable[Subscriber]
    ) -> None:
        """Tell of a join or a leave."""
        try:
            info: ClientInfo = read_client_info(body)
        except _UNREADABLE:
            self.unreadable(channel)
            return
        runs: dict[Encoding, Run | None] = {}
        for subscriber in to:
            encoding = subscriber.encoding
            if encoding not in runs:
                message = self._member[encoding](channel, kind, info)
                runs[encoding] = None if message is None else Run([message])
            run = runs[encoding]
            if run is not None:
                subscriber.deliver(run)
