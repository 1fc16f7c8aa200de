"""From publications to the sockets: decoded once a worker, encoded and framed once an encoding.

What one read of the broker's has brought for a channel is a *run*: whoever gets it shares its
bytes. Nothing here waits, and there is neither a task nor a copy for a recipient.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain, repeat
from typing import Final

import msgspec

from gateway.channels.local_channel import LocalChannel
from gateway.channels.subscriber import EncodeMember, EncodePublication, Encoding, Subscriber
from gateway.log import get_logger
from gateway.log.seldom import Seldom
from gateway.messaging.hub import Hub
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
from gateway.protocol.write_group import WriteGroup

log = get_logger(__name__)

TELL_EACH_S: Final = 10.0
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)


class FanOut:
    """Gives subscribers what is told to a channel, each in its encoding."""

    def __init__(
        self, counters: Counters, hub: Hub, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._counters = counters
        self._hub = hub
        self._unreadable = Seldom(TELL_EACH_S, now)
        self._publication: dict[Encoding, EncodePublication] = {}
        self._member: dict[Encoding, EncodeMember] = {}
        self._read_publication: Callable[[bytes], PublicationBody] = read_publication

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
    ) -> None:
        """Deliver publications, in order, to everybody in ``to``.

        One that cannot be read is left out (``unreadable``).
        """
        to = [some for some in to if some]
        bodies = self._read(channel, publications) if to else ()
        if bodies:
            self._counters.deliveries += len(bodies) * sum(map(len, to))
            self._deliver(channel, bodies, to, subscribers, runs={})

    def at_once(self, local: LocalChannel, publications: Sequence[Publication]) -> None:
        """Deliver publications, in order, to everybody who is live; nothing else has come with
        them. Who has nothing waiting gets them within this call.
        """
        everybody = local.machine.everybody
        members = sum(map(len, everybody))
        bodies = self._read(local.name, publications) if members else ()
        if not bodies:
            return
        self._counters.deliveries += len(bodies) * members
        for collecting in self._hub.unflushed:
            collecting.leave_groups()  # what has collected is before this
        groups = local.groups
        grouped = 0
        for group in groups.values():
            grouped += len(group.descriptors)
        rest: Iterable[Iterable[ConnectionId]] = ()
        if grouped != members:
            rest = [[who for who in some if not local.grouped(who)] for some in everybody]
        runs: dict[Encoding, Run] = {}
        for encoding, group in groups.items():
            if group.descriptors:
                run = runs[encoding] = self._run(encoding, local.name, bodies, group)
                self._write(run, group, local.heard_at)
        if rest:
            self._deliver(local.name, bodies, rest, local.subscribers, runs=runs, groups=groups)

    def _write(self, run: Run, group: WriteGroup, now: float) -> None:
        """To all of a group in one pass, in which nobody is called. Those that do not take all of
        it are given the rest the usual way.
        """
        taken: list[int] = []
        writes = map(os.write, group.descriptors, repeat(run.framed))
        while True:
            try:
                for size in writes:
                    taken.append(size)  # noqa: PERF402 (what was taken before one fails counts)
                break
            except OSError:  # full, or at its end: its transport finds out which
                taken.append(0)
        late = group.wrote(run, taken, now)
        self._counters.sent += run.count * len(group.descriptors)
        for member, some in late:
            member.send_rest(run, some)

    def _deliver(
        self,
        channel: str,
        bodies: Sequence[tuple[int, PublicationBody]],
        to: Iterable[Iterable[ConnectionId]],
        subscribers: Mapping[ConnectionId, Subscriber],
        *,
        runs: dict[Encoding, Run],
        groups: dict[Encoding, WriteGroup] | None = None,
    ) -> None:
        """One by one. Args: groups: Which those may enter that take it at once, if they may."""
        for name in chain.from_iterable(to):
            subscriber = subscribers.get(name)
            if subscriber is None:  # has left while others were told
                continue
            encoding = subscriber.encoding
            run = runs.get(encoding)
            if run is None:
                group = None
                if groups is not None:
                    group = groups.get(encoding)
                    if group is None:
                        group = groups[encoding] = WriteGroup()
                run = runs[encoding] = self._run(encoding, channel, bodies, group)
            subscriber.deliver(run)

    def _run(
        self,
        encoding: Encoding,
        channel: str,
        bodies: Sequence[tuple[int, PublicationBody]],
        group: WriteGroup | None,
    ) -> Run:
        encode = self._publication[encoding]
        return Run([encode(channel, offset, body) for offset, body in bodies], group=group)

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
                bodies.append((offset, self._read_publication(payload)))
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
