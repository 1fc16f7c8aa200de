"""A connection that subscribes, kept up by one task; and what it is subscribed to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.denied import Denied
from gateway.redis_support.node import is_of_all
from gateway.redis_support.outstanding import Outstanding
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.reconnect import log_attempt, log_loss, reconnect_delay_s
from gateway.redis_support.settling import Settling, fail
from gateway.redis_support.verbs import ALIVE, PING, PLAIN, SETTLED, Verbs

log = get_logger(__name__)

PING_INTERVAL_S: Final = 2.0
MAX_CHANNELS: Final = 1000  # with one command

OnMessages = Callable[[list[tuple[str, bytes]]], None]
OnResync = Callable[[list[str], float], None]


class Subscriptions:
    """The channels one connection is to be subscribed to, each with the name it has here.

    What is asked for within one turn of the loop goes out together at its end. Commands about one
    channel go out in the order in which they were asked for, and a message counts only once the
    last SUBSCRIBE of its channel was acknowledged.

    A channel that is refused costs no other channel anything. It is asked for again, less and less
    often; whoever waits for it is told nothing.
    """

    verbs: ClassVar[Verbs] = PLAIN

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self._address = address
        self._name = name
        self._on_messages: OnMessages | None = None
        self._on_resync: OnResync | None = None
        self._connection: RedisConnection | None = None
        self._wanted: dict[bytes, str] = {}
        self._waiting: dict[bytes, list[asyncio.Future[None]]] = {}  # for an acknowledgement
        self._changed: dict[bytes, None] = {}  # what the connection may have to be told
        self._flushing = False
        self._resyncing = False
        self._denied = Denied(self._change)
        # What is true of this connection only:
        self._outstanding = Outstanding()
        self._asked: set[bytes] = set()  # whose last command was SUBSCRIBE
        self._unacknowledged: Counter[bytes] = Counter()  # SUBSCRIBEs of each
        self._heard: dict[bytes, str] = {}  # whose messages count
        self._settling = Settling()
        self._acknowledged = asyncio.Event()  # set at every acknowledgement, and refusal
        self._heard_at = 0.0
        self._deaf: dict[bytes, float] = {}  # since when messages may have been lost
        address.node.when_moved(self.drop)

    def add(self, channel: bytes, name: str) -> asyncio.Future[None]:
        """Subscribe; done once that is acknowledged, which may be when the server is back.

        Fails with BrokerUnavailable when the channel is removed before.
        """
        subscribed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._wanted[channel] = name
        if channel in self._heard:
            subscribed.set_result(None)
            return subscribed
        if channel in self._asked and not self._unacknowledged[channel]:
            self._heard[channel] = name  # removed, and wanted again before that was said
            subscribed.set_result(None)
            return subscribed
        self._waiting.setdefault(channel, []).append(subscribed)
        self._change(channel)
        return subscribed

    def remove(self, channel: bytes) -> None:
        """Unsubscribe. None of its messages is handed out from here on."""
        if self._wanted.pop(channel, None) is None:
            return
        self._heard.pop(channel, None)
        self._deaf.pop(channel, None)
        self._denied.forget(channel)
        fail(self._waiting.pop(channel, []), "unsubscribed meanwhile")
        self._change(channel)

    def settle(self) -> asyncio.Future[None]:
        """Done once whatever was sent to this connection before now has been handed out.

        Fails with BrokerUnavailable when the connection is lost before.
        """
        settled = self._settling.add()
        if self._connection is None or self._connection.lost.done():
            self._fail_unsettled()
        else:
            self._schedule_flush()
        return settled

    def drop(self) -> None:
        """Give up the connection, so that another is made and everything subscribed anew."""
        if self._connection is not None:
            self._connection.abort()

    async def run(self, on_messages: OnMessages, on_resync: OnResync) -> None:
        """Keep it up until cancelled.

        Args:
            on_messages: Told what one read brought: the name, and a message, in order.
            on_resync: Told that messages of these may have been lost during the last so many
                seconds. They are subscribed again; one that was refused has one of its own.
        """
        self._on_messages, self._on_resync = on_messages, on_resync
        try:
            await self._keep_subscribed()
        finally:
            self._on_messages = self._on_resync = None

    async def _keep_subscribed(self) -> None:
        attempt = 0
        while True:
            try:
                connection = await self._subscribe_anew()
            except BrokerUnavailable as error:
                attempt += 1
                log_attempt("subscriber not connected", self._name, attempt, error)
                await asyncio.sleep(reconnect_delay_s(attempt))
                continue
            self._resync()
            stood_since = asyncio.get_running_loop().time()
            try:
                await self._listen(connection)
                stood = asyncio.get_running_loop().time() - stood_since >= PING_INTERVAL_S
                log_loss(
                    "subscriber lost its connection",
                    self._name,
                    self._address.display,
                    again=attempt > 0 and not stood,
                )
            finally:
                self._forget(connection)
            if stood:
                attempt = 0
            else:  # refused at once, perhaps, and it will be again
                attempt += 1
                await asyncio.sleep(reconnect_delay_s(attempt))

    async def _subscribe_anew(self) -> RedisConnection:
        connection = await RedisConnection.connect(
            self._address,
            deadline_s=REDIS_DEADLINE_S,
            name=self._name,
            on_replies=self._on_replies,
        )
        connection.push_mode()
        self._connection = connection
        self._changed.update(dict.fromkeys(self._wanted))
        self._flush()
        try:
            await self._all_acknowledged(connection)
        except BaseException as error:
            self._forget(connection)
            if isinstance(error, TimeoutError):
                raise BrokerUnavailable("subscriptions were not acknowledged in time") from None
            raise
        return connection

    async def _all_acknowledged(self, connection: RedisConnection) -> None:
        """Of those that are wanted now, but for what is refused."""
        missing = set(self._wanted)
        async with asyncio.timeout(REDIS_DEADLINE_S):
            while missing := {
                channel
                for channel in missing & self._wanted.keys() - self._heard.keys()
                if not self._denied.is_refused(channel)
            }:
                self._acknowledged.clear()
                await _either(self._acknowledged.wait(), connection.lost)
                connection.raise_if_lost()

    async def _listen(self, connection: RedisConnection) -> None:
        """Until the connection is lost. A frozen server raises nothing: pongs have a deadline."""
        while not connection.lost.done():
            connection.send((PING,))
            self._outstanding.sent(PING, (ALIVE,))
            asked_at = time.monotonic()
            await asyncio.wait({connection.lost}, timeout=PING_INTERVAL_S)
            if self._heard_at < asked_at and not connection.lost.done():
                await asyncio.wait({connection.lost}, timeout=REDIS_DEADLINE_S - PING_INTERVAL_S)
                if self._heard_at < asked_at:
                    log.warning(
                        "subscriber hears nothing",
                        connection=self._name,
                        where=self._address.display,
                        deadline_s=REDIS_DEADLINE_S,
                    )
                    return

    # What is said

    def _change(self, channel: bytes) -> None:
        if self._connection is not None:  # else all that is wanted will be said to the next
            self._changed[channel] = None
            self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        connection = self._connection
        if connection is None:
            return
        leaving = [key for key in self._changed if key in self._asked and key not in self._wanted]
        joining = [key for key in self._changed if key in self._wanted and key not in self._asked]
        self._changed.clear()
        self._say(connection, self.verbs.unsubscribe, leaving)
        together = [channel for channel in joining if channel not in self._denied]
        self._say(connection, self.verbs.subscribe, together)
        for channel in joining:
            if channel in self._denied:
                self._say(connection, self.verbs.subscribe, [channel])
        self._asked.difference_update(leaving)
        self._asked.update(joining)
        self._unacknowledged.update(joining)
        if self._settling.begin():
            connection.send((PING, SETTLED))
            self._outstanding.sent(PING, (SETTLED,))

    def _say(self, connection: RedisConnection, word: str, channels: Sequence[bytes]) -> None:
        for first in range(0, len(channels), MAX_CHANNELS):
            some = channels[first : first + MAX_CHANNELS]
            connection.send((word, *some))
            self._outstanding.sent(word, some)

    # What is heard

    def _on_replies(self, replies: list[Any]) -> None:
        self._heard_at = time.monotonic()  # to ask for the loop is a system call up to Python 3.11
        messages: list[tuple[str, bytes]] = []
        heard, kind = self._heard, self.verbs.message
        for reply in replies:
            # Not by ``match``, which takes three times as long: this is for every batch.
            if (
                type(reply) is list
                and len(reply) == 3
                and reply[0] == kind
                and type(channel := reply[1]) is bytes
                and type(payload := reply[2]) is bytes
            ):
                name = heard.get(channel)
                if name is not None:
                    messages.append((name, payload))
            else:
                self._said(reply)
        if messages and self._on_messages is not None:
            try:
                self._on_messages(messages)
            except Exception:
                log.exception("receiver failed", deliveries=len(messages))

    def _said(self, reply: Any) -> None:
        """Everything but messages. Who waits for it goes on in a later turn, so behind them."""
        match reply:
            case [self.verbs.subscribed, bytes() as channel, _]:
                self._outstanding.answered(self.verbs.subscribe, channel)
                self._acknowledge(channel)
            case [b"pong", b"settled"] | b"settled":
                self._outstanding.answered(PING, SETTLED)
                if self._settling.answered():
                    self._schedule_flush()
            case [self.verbs.unsubscribed, bytes() as channel, _]:
                if not self._outstanding.answered(self.verbs.unsubscribe, channel):
                    self._taken_away(channel)
            case [b"pong", *_] | b"PONG":
                self._outstanding.answered(PING, ALIVE)
            case ReplyError():
                self._refused(reply)
            case _:
                self._address.node.garbage(f"a {type(reply).__name__}", "SUBSCRIBE")

    def _acknowledge(self, channel: bytes) -> None:
        self._unacknowledged[channel] -= 1
        if self._unacknowledged[channel] > 0:
            return  # of an earlier SUBSCRIBE than the last
        del self._unacknowledged[channel]
        if channel not in self._asked or channel not in self._wanted:
            return
        self._heard[channel] = self._wanted[channel]
        self._acknowledged.set()
        if self._denied.allowed(channel) and channel in self._deaf and not self._resyncing:
            self._resyncing = True
            asyncio.get_running_loop().call_soon(self._resync)
        for subscribed in self._waiting.pop(channel, []):
            if not subscribed.done():
                subscribed.set_result(None)

    def _taken_away(self, channel: bytes) -> None:
        """It is subscribed no more, and nobody here has said so."""

    def _refused(self, error: ReplyError) -> None:
        words = str(error)
        word, about = self._outstanding.refused() or (self.verbs.subscribe, ())
        if word == PING:
            self._address.node.refused(words, word)
            if about[0] == SETTLED and self._settling.refused(words):
                self._schedule_flush()
            return
        of_all = is_of_all(words)
        asked = about if word == self.verbs.subscribe else ()
        again = [channel for channel in asked if self._unask(channel)]
        if len(about) > 1 and not of_all:  # one of them, perhaps: it is found with one for each
            for channel in again:
                self._denied.suspect(channel)
                self._change(channel)
            return
        names = [self._wanted.get(channel, "") for channel in about[:3]]
        self._address.node.refused(words, " ".join([word, *names]))
        if of_all:
            self.drop()
            return
        for channel in again:
            self._denied.refused(channel)
        self._acknowledged.set()

    def _unask(self, channel: bytes) -> bool:
        """A SUBSCRIBE of it was refused. Whether it is to be said again."""
        self._unacknowledged[channel] -= 1
        if self._unacknowledged[channel] > 0:
            return False  # an earlier one than the last
        del self._unacknowledged[channel]
        self._asked.discard(channel)
        return channel in self._wanted

    # What is lost

    def _forget(self, connection: RedisConnection) -> None:
        self._note_lost()
        self._connection = None
        self._changed.clear()
        self._outstanding.clear()
        self._denied.pause()
        self._asked.clear()
        self._unacknowledged.clear()
        self._heard.clear()
        self._fail_unsettled()
        connection.abort()

    def _note_lost(self) -> None:
        """Messages of what was heard may be lost from here on."""
        for channel in self._heard:
            self._deaf.setdefault(channel, self._heard_at)

    def _fail_unsettled(self) -> None:
        self._settling.fail(f"no subscriptions at {self._address.display}")

    def _resync(self) -> None:
        """Of those that are subscribed again."""
        self._resyncing = False
        found = [channel for channel in self._deaf if channel in self._heard]
        if found:
            since = min(self._deaf.pop(channel) for channel in found)
            names = [self._heard[channel] for channel in found]
            self._tell_resync(names, time.monotonic() - since)

    def _tell_resync(self, names: list[str], gap_s: float) -> None:
        log.warning(
            "subscriptions resynced",
            connection=self._name,
            gap_s=round(gap_s, 3),
            channels=len(names),
        )
        if self._on_resync is None:
            return
        try:
            self._on_resync(names, gap_s)
        except Exception:
            log.exception("receiver failed at a resync")


async def _either(coroutine: Any, future: asyncio.Future[None]) -> None:
    """Wait for whichever comes first, and cancel only the coroutine."""
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task, future}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
