"""Subscriptions at one master of a Cluster: each channel goes its own way."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Final, NamedTuple

from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.slots import is_redirect, read_redirect, slot_of
from gateway.redis_support.stream import Endpoint
from gateway.redis_support.subscriptions import Subscriptions
from gateway.redis_support.verbs import PING, SHARDED, Verbs

IN_VAIN: Final = 50  # refusals of one channel in a row, until that is said


class Handed(NamedTuple):
    """A channel on its way to another connection.

    Attributes:
        deaf_since: Since when its messages may be lost; None if it was not subscribed yet.
        waiting: For an acknowledgement.
    """

    name: str
    deaf_since: float | None
    waiting: list[asyncio.Future[None]]


class ShardedSubscriptions(Subscriptions):
    """As ``Subscriptions``; a channel is refused, taken away and subscribed again by itself.

    A resync is of those that were lost, once they are subscribed again. One that is refused because
    its slot moves is asked for soon, as often as it takes.
    """

    verbs: ClassVar[Verbs] = SHARDED

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        super().__init__(address, name=name)
        self._redirected: Counter[bytes] = Counter()  # how often in a row
        self._lost: dict[bytes, float] = {}  # since when messages may be lost
        self._found: dict[bytes, float] = {}  # the same, of those that are subscribed again

    def remove(self, channel: bytes) -> None:
        self._lost.pop(channel, None)
        self._redirected.pop(channel, None)
        super().remove(channel)

    def hand_over(self, channel: bytes) -> Handed | None:
        """Give a channel away, to be subscribed elsewhere. Nobody who waits for it is told."""
        name = self._wanted.get(channel)
        if name is None:
            return None
        since = self._lost.get(channel)
        if since is None and channel in self._heard:
            since = self._heard_at
        waiting = self._waiting.pop(channel, [])
        self.remove(channel)
        return Handed(name, since, waiting)

    def take(self, channel: bytes, handed: Handed) -> None:
        """Go on with one that was given away."""
        self._wanted[channel] = handed.name
        self._waiting.setdefault(channel, []).extend(handed.waiting)
        if handed.deaf_since is not None:
            self._lost[channel] = handed.deaf_since
        if channel in self._asked and not self._unacknowledged[channel]:
            self._acknowledge(channel)  # given away, and back before that was said
        else:
            self._change(channel)

    async def _all_acknowledged(self, connection: RedisConnection) -> None:
        """One that is refused does not hold up the others."""

    def _say(self, connection: RedisConnection, word: str, channels: Sequence[bytes]) -> None:
        for channel in channels:  # with one command only those of one slot
            connection.send((word, channel))
            self._outstanding.sent(word, (channel,))

    def _acknowledge(self, channel: bytes) -> None:
        super()._acknowledge(channel)
        self._redirected.pop(channel, None)
        if channel in self._heard and (since := self._lost.pop(channel, None)) is not None:
            if not self._found:
                asyncio.get_running_loop().call_soon(self._resync_found)
            self._found[channel] = since

    def _taken_away(self, channel: bytes) -> None:
        """Its slot has moved. The same master is asked again at once: it says where to."""
        if not self._unacknowledged[channel]:
            self._asked.discard(channel)  # also where it is not wanted now: it may be in this turn
        if channel in self._heard:
            del self._heard[channel]
            self._lost[channel] = self._heard_at
            self._change(channel)

    def _refused(self, error: ReplyError) -> None:
        connection, words = self._connection, str(error)
        asked = None if connection is None else connection.endpoint
        told = None if asked is None else read_redirect(words, asked)
        word, channel = self._outstanding.next() or ("", b"")
        if told is not None and (word in ("", PING) or slot_of(channel) != told[0]):
            # Of a SUNSUBSCRIBE that has found its slot gone. What took the channel away came before
            # that, and looks like the answer: there was none left for this.
            self._address.node.refused(words, self.verbs.unsubscribe, asked)
        elif word in ("", PING) or not is_redirect(words):
            super()._refused(error)
        else:
            self._outstanding.refused()
            self._refused_here(word, channel, words, asked)

    def _refused_here(self, word: str, channel: bytes, words: str, asked: Endpoint | None) -> None:
        """Another master has it, or will."""
        about = f"{word} {self._wanted.get(channel, '')}"
        if word == self.verbs.subscribe and self._unask(channel):
            self._denied.redirected(channel)
        self._address.node.refused(words, about, asked)
        if channel in self._wanted:
            self._redirected[channel] += 1
            if self._redirected[channel] % IN_VAIN == 0:
                self._address.node.in_vain(words, about)

    def _note_lost(self) -> None:
        for channel in self._heard:
            self._lost.setdefault(channel, self._heard_at)
        self._lost.update(self._found)
        self._found.clear()

    def _resync_found(self) -> None:
        found, self._found = self._found, {}
        names = [self._wanted[channel] for channel in found if channel in self._wanted]
        if names:
            gap_s = asyncio.get_running_loop().time() - min(found.values())
            self._tell_resync(names, gap_s)
