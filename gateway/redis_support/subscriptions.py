"""A connection that subscribes, kept up by one task; and what it is subscribed to."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, NamedTuple, Protocol

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.reconnect import log_attempt, log_loss, reconnect_delay_s

log = get_logger(__name__)

PING_INTERVAL_S: Final = 2.0
MAX_CHANNELS: Final = 1000  # with one command
SETTLED: Final = b"settled"

OnMessages = Callable[[list[tuple[str, bytes]]], None]
OnResync = Callable[[list[str], float], None]


class Verbs(NamedTuple):
    """What is said, and what is heard."""

    subscribe: str
    unsubscribe: str
    message: bytes
    subscribed: bytes
    unsubscribed: bytes


PLAIN: Final = Verbs("SUBSCRIBE", "UNSUBSCRIBE", b"message", b"subscribe", b"unsubscribe")


class Subscriptions:
    """The channels one connection is to be subscribed to, each with the name it has here.

    What is asked for within one turn of the loop goes out together at its end. Commands about one
    channel go out in the order in which they were asked for, and a message counts only once the
    last SUBSCRIBE of its channel was acknowledged.
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
        # What is true of this connection only:
        self._asked: set[bytes] = set()  # whose last command was SUBSCRIBE
        self._unacknowledged: Counter[bytes] = Counter()  # SUBSCRIBEs of each
        self._heard: dict[bytes, str] = {}  # whose messages count
        self._settling: list[asyncio.Future[None]] = []  # behind the PING that is under way
        self._unsettled: list[asyncio.Future[None]] = []  # behind the next
        self._acknowledged = asyncio.Event()  # set at every acknowledgement
        # Since when messages may have been lost, and of which channels
        self._heard_at = 0.0
        self._deaf_since: float | None = None
        self._deaf: dict[bytes, None] = {}
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
        _fail(self._waiting.pop(channel, []), "unsubscribed meanwhile")
        self._change(channel)

    def settle(self) -> asyncio.Future[None]:
        """Done once whatever was sent to this connection before now has been handed out.

        Fails with BrokerUnavailable when the connection is lost before.
        """
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unsettled.append(settled)
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
                seconds. They are subscribed again.
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
        """Of those that are wanted now."""
        missing = set(self._wanted)
        async with asyncio.timeout(REDIS_DEADLINE_S):
            while missing := missing & self._wanted.keys() - self._heard.keys():
                self._acknowledged.clear()
                await _either(self._acknowledged.wait(), connection.lost)
                connection.raise_if_lost()

    async def _listen(self, connection: RedisConnection) -> None:
        """Until the connection is lost. A frozen server raises nothing: pongs have a deadline."""
        while not connection.lost.done():
            connection.send(("PING",))
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
        self._say(connection, self.verbs.subscribe, joining)
        self._asked.difference_update(leaving)
        self._asked.update(joining)
        self._unacknowledged.update(joining)
        if self._unsettled and not self._settling:
            self._settling, self._unsettled = self._unsettled, []
            connection.send(("PING", SETTLED))

    def _say(self, connection: RedisConnection, word: str, channels: Sequence[bytes]) -> None:
        for first in range(0, len(channels), MAX_CHANNELS):
            connection.send((word, *channels[first : first + MAX_CHANNELS]))

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
                self._acknowledge(channel)
            case [b"pong", b"settled"] | b"settled":
                self._settled()
            case [self.verbs.unsubscribed | b"pong", *_] | b"PONG":
                pass
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
        for subscribed in self._waiting.pop(channel, []):
            if not subscribed.done():
                subscribed.set_result(None)

    def _settled(self) -> None:
        settling, self._settling = self._settling, []
        for settled in settling:
            if not settled.done():
                settled.set_result(None)
        if self._unsettled:
            self._schedule_flush()

    def _refused(self, error: ReplyError) -> None:
        channels = sorted(self._wanted.values())
        self._address.node.refused(str(error), " ".join(["SUBSCRIBE", *channels[:3]]))
        if not self._heard.keys() >= self._wanted.keys():
            self.drop()  # what it refuses, it will not acknowledge

    # What is lost

    def _forget(self, connection: RedisConnection) -> None:
        self._note_lost()
        self._connection = None
        self._changed.clear()
        self._asked.clear()
        self._unacknowledged.clear()
        self._heard.clear()
        self._fail_unsettled()
        connection.abort()

    def _note_lost(self) -> None:
        """Messages of what was heard may be lost from here on."""
        if self._heard and self._deaf_since is None:
            self._deaf_since = self._heard_at
        self._deaf.update(dict.fromkeys(self._heard))

    def _fail_unsettled(self) -> None:
        _fail(self._settling + self._unsettled, f"no subscriptions at {self._address.display}")
        self._settling, self._unsettled = [], []

    def _resync(self) -> None:
        if self._deaf_since is None:
            return
        gap_s = time.monotonic() - self._deaf_since
        names = [self._wanted[channel] for channel in self._deaf if channel in self._wanted]
        self._deaf_since = None
        self._deaf.clear()
        self._tell_resync(names, gap_s)

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


class Subscribing(Protocol):
    """``Subscriptions``, or those at all masters of a Cluster."""

    def add(self, channel: bytes, name: str) -> asyncio.Future[None]: ...

    def remove(self, channel: bytes) -> None: ...


def add_in_time(
    subscriptions: Subscribing, channel: bytes, name: str, address: RedisAddress
) -> asyncio.Future[None]:
    """See ``Subscriptions.add``. What is not acknowledged in ``REDIS_DEADLINE_S`` is removed.

    Then it fails with BrokerUnavailable, and says that ``address`` was late.
    """
    subscribed = subscriptions.add(channel, name)
    if not subscribed.done():

        def give_up() -> None:
            if not subscribed.done():
                why = f"{address.display} has not acknowledged in {REDIS_DEADLINE_S:.0f} s"
                subscribed.set_exception(BrokerUnavailable(why))
                subscriptions.remove(channel)

        late = asyncio.get_running_loop().call_later(REDIS_DEADLINE_S, give_up)
        subscribed.add_done_callback(lambda _: late.cancel())
    return subscribed


def _fail(futures: Sequence[asyncio.Future[None]], why: str) -> None:
    for future in futures:
        if not future.done():
            future.set_exception(BrokerUnavailable(why))


async def _either(coroutine: Any, future: asyncio.Future[None]) -> None:
    """Wait for whichever comes first, and cancel only the coroutine."""
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task, future}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        task.cancel()
