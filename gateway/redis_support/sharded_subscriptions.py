"""Subscriptions at one master of a Cluster: each channel goes its own way."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Sequence
from typing import Any, ClassVar, Final, NamedTuple

from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.node import MOVED, kind_of
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.slots import is_redirect, read_redirect, slot_of
from gateway.redis_support.subscriptions import Subscriptions, Verbs

AGAIN_S: Final = 0.1  # after a master has refused one channel
LONGEST_AGAIN_S: Final = 30.0  # where it is refused for another reason than that its slot moves
IN_VAIN: Final = 50  # refusals of one channel in a row, until that is said
SHARDED: Final = Verbs("SSUBSCRIBE", "SUNSUBSCRIBE", b"smessage", b"ssubscribe", b"sunsubscribe")


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

    A resync is of those that were lost, once they are subscribed again. One that is refused for
    another reason than that its slot moves is asked for less and less often; whoever waits for it
    is told nothing.
    """

    verbs: ClassVar[Verbs] = SHARDED

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        super().__init__(address, name=name)
        self._outstanding: deque[tuple[str, bytes]] = deque()  # commands about one channel each
        self._redirected: Counter[bytes] = Counter()  # how often in a row
        self._denied: Counter[bytes] = Counter()  # the same, for what no other master changes
        self._again: dict[bytes, asyncio.TimerHandle] = {}  # until a refused one is asked for
        self._lost: dict[bytes, float] = {}  # since when messages may be lost
        self._found: dict[bytes, float] = {}  # the same, of those that are subscribed again

    def remove(self, channel: bytes) -> None:
        self._lost.pop(channel, None)
        self._forget_refusals(channel)
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
            self._outstanding.append((word, channel))

    def _said(self, reply: Any) -> None:
        match reply:
            case [self.verbs.subscribed, bytes() as channel, _]:
                self._answered(self.verbs.subscribe, channel)
            case [self.verbs.unsubscribed, bytes() as channel, _]:
                if not self._answered(self.verbs.unsubscribe, channel):
                    self._taken_away(channel)
            case ReplyError():
                self._refused_one(reply)
                return
        super()._said(reply)

    def _acknowledge(self, channel: bytes) -> None:
        super()._acknowledge(channel)
        self._forget_refusals(channel)
        if channel in self._heard and (since := self._lost.pop(channel, None)) is not None:
            if not self._found:
                asyncio.get_running_loop().call_soon(self._resync_found)
            self._found[channel] = since

    def _answered(self, word: str, channel: bytes) -> bool:
        """Whether this is the answer to the next command that has none. Nothing is out of turn."""
        if self._outstanding and self._outstanding[0] == (word, channel):
            self._outstanding.popleft()
            return True
        return False

    def _taken_away(self, channel: bytes) -> None:
        """Its slot has moved. The same master is asked again at once: it says where to."""
        if not self._unacknowledged[channel]:
            self._asked.discard(channel)  # also where it is not wanted now: it may be in this turn
        if channel in self._heard:
            del self._heard[channel]
            self._lost[channel] = self._heard_at
            self._change(channel)

    def _refused_one(self, error: ReplyError) -> None:
        connection = self._connection
        asked = None if connection is None else connection.endpoint
        told = None if asked is None else read_redirect(str(error), asked)
        if told is not None and not (
            self._outstanding and slot_of(self._outstanding[0][1]) == told[0]
        ):
            # Of a SUNSUBSCRIBE that has found its slot gone. What took the channel away came before
            # that, and looks like the answer: there was none left for this.
            self._address.node.refused(str(error), self.verbs.unsubscribe, asked)
            return
        if not self._outstanding:
            self._refused(error)
            return
        word, channel = self._outstanding.popleft()
        name, words = self._wanted.get(channel, ""), str(error)
        redirect = is_redirect(words)
        if word == self.verbs.subscribe:
            self._unacknowledged[channel] -= 1
            if self._unacknowledged[channel] <= 0:
                del self._unacknowledged[channel]
                self._asked.discard(channel)
                self._ask_again(channel, denied=not redirect)
        self._address.node.refused(words, f"{word} {name}", asked)
        if redirect and channel in self._wanted:
            self._redirected[channel] += 1
            if self._redirected[channel] % IN_VAIN == 0:
                self._address.node.in_vain(words, f"{word} {name}")
        elif not redirect and (kind_of(words) == MOVED or words.startswith("NOAUTH")):
            self.drop()  # that is of no one channel

    def _ask_again(self, channel: bytes, *, denied: bool) -> None:
        """Later: it may be given away meanwhile, by what is told next; or allowed, by somebody."""
        if channel not in self._wanted:
            return
        after_s = AGAIN_S
        if denied:
            after_s = min(LONGEST_AGAIN_S, AGAIN_S * 2.0 ** min(self._denied[channel], 10))
            after_s *= random.uniform(0.5, 1.0)  # noqa: S311 (many may be denied in one turn)
            self._denied[channel] += 1
        if (before := self._again.pop(channel, None)) is not None:
            before.cancel()
        loop = asyncio.get_running_loop()
        self._again[channel] = loop.call_later(after_s, self._change, channel)

    def _forget_refusals(self, channel: bytes) -> None:
        self._redirected.pop(channel, None)
        self._denied.pop(channel, None)
        if (again := self._again.pop(channel, None)) is not None:
            again.cancel()

    def _note_lost(self) -> None:
        for channel in self._heard:
            self._lost.setdefault(channel, self._heard_at)
        self._lost.update(self._found)
        self._found.clear()
        self._outstanding.clear()
        while self._again:
            self._again.popitem()[1].cancel()  # the next connection asks for all

    def _resync_found(self) -> None:
        found, self._found = self._found, {}
        names = [self._wanted[channel] for channel in found if channel in self._wanted]
        if names:
            gap_s = asyncio.get_running_loop().time() - min(found.values())
            self._tell_resync(names, gap_s)
