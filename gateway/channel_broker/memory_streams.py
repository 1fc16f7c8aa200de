"""The histories of channels in memory: what the scripts on Redis do, without Redis. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from gateway.channel_broker.base import IDEMPOTENCY_S, HistoryOptions, Page, Publishing, Stored
from gateway.errors import UnrecoverablePosition
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import MAX_READ, History, Publication

SWEEP_S: Final = 60.0  # between two looks at what has expired


@dataclass(slots=True)
class _Stream:
    epoch: str
    meta_until: float
    top: int = 0
    until: float = 0.0
    version: int = 0
    version_epoch: str = ""
    publications: deque[Publication] = field(default_factory=deque)

    @property
    def position(self) -> Position:
        return Position(self.epoch, self.top)


class MemoryStreams:
    """Every channel's history, epoch and top, and the answers to idempotency keys.

    Args:
        now: Monotonic seconds.
        new_epoch: Makes a name that no epoch had before.
    """

    def __init__(self, now: Callable[[], float], new_epoch: Callable[[], str]) -> None:
        self._now = now
        self._new_epoch = new_epoch
        self._streams: dict[str, _Stream] = {}
        self._answers: dict[tuple[str, str], tuple[float, Stored]] = {}
        self._sweep_at = now() + SWEEP_S

    def answer(self, publishing: Publishing) -> Stored | None:
        """What was answered the first time, if this is not the first time."""
        expires, stored = self._answers.get(_key(publishing), (0.0, None))
        if stored is None or expires <= self._now():
            return None
        return stored._replace(suppressed=True)

    def store(self, publishing: Publishing) -> Stored:
        """Give it its place, unless its version has come before; and keep the answer."""
        self._sweep()
        stored = Stored(None)
        if publishing.history is not None:
            stored = self._append(publishing, publishing.history)
        if publishing.idempotency_key and not stored.suppressed:
            self._answers[_key(publishing)] = (self._now() + IDEMPOTENCY_S, stored)
        return stored

    def read(self, channel: str, after: int | None, history: HistoryOptions) -> History:
        """See ``ChannelBroker.read``."""
        stream = self._stream(channel, history)
        if after is None:
            return History(stream.position)
        found = [one for one in stream.publications if one.offset > after]
        return History(stream.position, found[-MAX_READ:])

    def page(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        since: Position | None,
        reverse: bool,
    ) -> Page:
        """See ``ChannelBroker.page``."""
        stream = self._stream(channel, history)
        if since is not None and since.epoch not in ("", stream.epoch):
            raise UnrecoverablePosition(f"epoch {since.epoch} of {channel} is over")
        found: Iterable[Publication] = stream.publications
        if reverse:
            found = reversed(stream.publications)
        if since is not None:
            found = (
                one
                for one in found
                if (one.offset < since.offset if reverse else one.offset > since.offset)
            )
        return Page(stream.position, list(islice(found, min(limit, MAX_READ))))

    def remove(self, channel: str) -> None:
        """See ``ChannelBroker.remove_history``."""
        if channel in self._streams:
            self._streams[channel].publications.clear()

    def forget(self) -> None:
        """Lose everything, as a server that comes back empty."""
        self._streams.clear()
        self._answers.clear()

    def _append(self, publishing: Publishing, history: HistoryOptions) -> Stored:
        stream = self._stream(publishing.channel, history)
        if publishing.version:
            if (
                publishing.version_epoch == stream.version_epoch
                and publishing.version <= stream.version
            ):
                return Stored(stream.position, suppressed=True)
            stream.version = publishing.version
            stream.version_epoch = publishing.version_epoch
        stream.top += 1
        stream.publications.append(Publication(stream.top, publishing.body))
        while len(stream.publications) > history.size:
            stream.publications.popleft()
        stream.until = self._now() + history.ttl_s
        return Stored(stream.position)

    def _stream(self, channel: str, history: HistoryOptions) -> _Stream:
        """The stream as it is now. What is used is kept for another meta ttl."""
        now = self._now()
        stream = self._streams.get(channel)
        if stream is None or stream.meta_until <= now:
            stream = self._streams[channel] = _Stream(self._new_epoch(), now)
        if stream.until <= now:
            stream.publications.clear()
        stream.meta_until = now + history.meta_ttl_s
        return stream

    def _sweep(self) -> None:
        now = self._now()
        if now < self._sweep_at:
            return
        self._sweep_at = now + SWEEP_S
        for channel in [name for name, one in self._streams.items() if one.meta_until <= now]:
            del self._streams[channel]
        for stream in self._streams.values():
            if stream.until <= now:
                stream.publications.clear()
        for key in [key for key, (expires, _) in self._answers.items() if expires <= now]:
            del self._answers[key]


def _key(publishing: Publishing) -> tuple[str, str]:
    return (publishing.channel, publishing.idempotency_key)
