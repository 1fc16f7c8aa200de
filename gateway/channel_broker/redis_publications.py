"""Publications on their way to Redis: while one pipeline is under way, the next ones collect."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

from gateway.channel_broker.base import Publishing, Stored
from gateway.channel_broker.redis_scripts import PUBLISH, ChannelScripts, joins, publishing_size
from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.log import get_logger
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.asking import looked_at
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.node import subject
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.slots import is_redirect
from gateway.redis_support.writing import Command

log = get_logger(__name__)

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 32 << 20
MAX_PIPELINE: Final = 1000
MAX_PIPELINE_BYTES: Final = 4 << 20
MAX_TOGETHER: Final = 100  # with one command: nothing else is served while Redis runs it


class Tell(NamedTuple):
    """A message that is published as it is, and of which nobody wants to hear again."""

    channel: str
    message: bytes


UNPLACED: Final = Stored(None)
_numbers: Final = itertools.count()


class Item:
    """One on its way."""

    __slots__ = ("answer", "ends_at", "number", "refused", "repeated", "size", "what")

    def __init__(self, what: Publishing | Tell, size: int, answer: asyncio.Future[Stored]) -> None:
        self.what = what
        self.size = size
        self.answer = answer
        self.number = next(_numbers)  # rises in the order of the calls
        self.repeated = False
        self.ends_at: float | None = None  # where it was refused for being at the wrong server
        self.refused = ""  # in these words, last

    def fail(self, error: BrokerUnavailable) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class Publications:
    """Sends them in order, each once.

    What waits is bounded by ``MAX_WAITING`` and ``MAX_WAITING_BYTES``; what is over it fails.

    Args:
        connection: The one to use now.
        failed: Told of every one that fails, why (``gateway.metrics.families``).
        elsewhere: Takes those that another server, or this one later, is to be given; in order,
            none of a channel of which a later one was published. Without it they fail.
    """

    def __init__(
        self,
        address: RedisAddress,
        scripts: ChannelScripts,
        connection: Callable[[], RedisConnection | None],
        *,
        failed: Callable[[str], object],
        elsewhere: Callable[[list[Item]], None] | None = None,
    ) -> None:
        self._address = address
        self._scripts = scripts
        self._connection = connection
        self._failed = failed
        self._elsewhere = elsewhere
        self._waiting: deque[Item] = deque()
        self._waiting_bytes = 0
        self._pipeline: list[Item] = []  # under way
        self._together: list[list[Publishing | Tell]] = []  # the same, by command
        self._sending = False  # the turn of ``_send`` was asked for
        self._load = False  # the script, before anything else
        self._told: ReplyError | None = None  # the last that the node was told
        self._loop: asyncio.AbstractEventLoop | None = None  # to ask which runs asks the kernel

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        """See ``ChannelBroker.publish``."""
        answer: asyncio.Future[Stored] = (self._loop or self._running()).create_future()
        self._add(Item(publishing, publishing_size(publishing), answer))
        return answer

    def tell(self, tell: Tell) -> asyncio.Future[Stored]:
        """See ``ChannelBroker.tell``. What cannot be sent is dropped."""
        answer: asyncio.Future[Stored] = (self._loop or self._running()).create_future()
        answer.add_done_callback(looked_at)
        self._add(Item(tell, len(tell.message) + len(tell.channel), answer))
        return answer

    def add(self, item: Item) -> None:
        """Send this one, that another server was not to be given."""
        self._add(item)

    def channels(self) -> set[str]:
        """Those of which something waits or is under way."""
        return {item.what.channel for item in (*self._pipeline, *self._waiting)}

    def _add(self, item: Item) -> None:
        if self._connection() is None:
            error = BrokerUnavailable(f"not connected to {self._address.display}")
            self._fail(item, "not_connected", error)
            return
        full = len(self._waiting) >= MAX_WAITING
        if full or self._waiting_bytes + item.size > MAX_WAITING_BYTES:
            self._fail(
                item,
                "full",
                BrokerUnavailable(
                    f"{self._address.display} is slow: {len(self._waiting)} publications of "
                    f"{self._waiting_bytes} B wait for it (at most {MAX_WAITING}, and "
                    f"{MAX_WAITING_BYTES} B)"
                ),
            )
            return
        self._waiting.append(item)
        self._waiting_bytes += item.size
        if not (self._pipeline or self._sending):
            self._sending = True
            (self._loop or self._running()).call_soon(self._send)

    def _running(self) -> asyncio.AbstractEventLoop:
        loop = self._loop = asyncio.get_running_loop()
        return loop

    def _send(self) -> None:
        """All that waits, as far as one pipeline goes."""
        self._sending = False
        if self._pipeline or not self._waiting:  # the turn may have been another's meanwhile
            return
        connection = self._connection()
        if connection is None:
            self._fail_all(f"not connected to {self._address.display}")
            return
        size = 0
        together: list[list[Publishing | Tell]] = []
        while self._waiting and len(self._pipeline) < MAX_PIPELINE and size < MAX_PIPELINE_BYTES:
            item = self._waiting.popleft()
            size += item.size
            self._pipeline.append(item)
            what = item.what
            if (
                together
                and isinstance(what, Publishing)
                and what.history is not None
                and _joins(together[-1], what)
            ):
                together[-1].append(what)
            else:
                together.append([what])
        self._waiting_bytes -= size
        self._together = together
        try:
            commands = list(map(self._command, together))
            if self._load:
                commands.insert(0, self._scripts.load(PUBLISH))
            answered = connection.execute(commands)
        except Exception as error:  # else nothing would be published any more, by anybody
            self._unsayable(error)
            return
        answered.add_done_callback(self._answered)

    def _unsayable(self, error: Exception) -> None:
        """Something among them is none that Redis takes, which those who publish should see to."""
        pipeline, self._pipeline = self._pipeline, []
        log.error("publications not sent", count=len(pipeline), exc_info=error)
        for item in pipeline:
            self._fail(item, "refused", BrokerUnavailable(f"not published: {error!r}"))
        if self._waiting:
            self._send()

    def _command(self, together: Sequence[Publishing | Tell]) -> Command:
        first = together[0]
        if isinstance(first, Tell):
            return (self._scripts.publish_verb, self._scripts.channel(first.channel), first.message)
        return self._scripts.publish(*cast(Sequence[Publishing], together))

    def _answered(self, answered: asyncio.Future[list[Any]]) -> None:
        pipeline, self._pipeline = self._pipeline, []
        error = answered.exception()
        if error is not None:
            for item in pipeline:
                doubt = BrokerUnavailable(f"nobody knows whether it was published: {error}")
                self._fail(item, "unknown", doubt)
            self._fail_all(str(error))
            return
        replies = answered.result()
        if self._load:
            self._load = False
            replies = replies[1:]
        if len(replies) < len(pipeline):
            replies = self._each(replies)
        unknown, moved = self._take(pipeline, replies)
        if unknown:
            self._load = True
            self._waiting.extendleft(reversed(unknown))
            self._waiting_bytes += sum(item.size for item in unknown)
        if moved and self._elsewhere is not None:
            self._elsewhere([*moved, *self._waiting_with(moved)])
        if self._waiting:
            self._send()

    def _each(self, replies: list[Any]) -> list[Any]:
        """One for each publication, where several have gone with one command."""
        each: list[Any] = []
        for together, reply in zip(self._together, replies, strict=True):
            count = len(together)
            if count > 1 and isinstance(reply, list):
                with suppress(ValueError):  # each says so of its own
                    each += self._scripts.stored(reply, together[0].channel, count)
                    continue
            each += [reply] * count
        return each

    def _waiting_with(self, moved: list[Item]) -> list[Item]:
        """Take out what waits in the channels of these."""
        names = {item.what.channel for item in moved}
        waiting, self._waiting = self._waiting, deque[Item]()
        theirs: list[Item] = []
        for item in waiting:
            (theirs if item.what.channel in names else self._waiting).append(item)
        self._waiting_bytes -= sum(item.size for item in theirs)
        return theirs

    def _take(self, pipeline: list[Item], replies: list[Any]) -> tuple[list[Item], list[Item]]:
        """Give each its answer. Returns those for which Redis had no script, in order, and those
        that are to be done elsewhere.

        They were not published, and may be, unless a later one of their channel was.
        """
        unknown: list[Item] = []
        moved: list[Item] = []
        later: set[str] = set()
        for item, reply in zip(reversed(pipeline), reversed(replies), strict=True):
            if isinstance(reply, ReplyError):
                if str(reply).startswith("NOSCRIPT") and not item.repeated:
                    if item.what.channel not in later:
                        item.repeated = True
                        unknown.append(item)
                        continue
                    error = BrokerUnavailable("not published: the server has lost its scripts")
                    self._fail(item, "refused", error)
                    continue
                if (
                    self._elsewhere is not None
                    and item.what.channel not in later
                    and is_redirect(str(reply))
                ):
                    self._tell_node(item, reply)
                    item.refused = str(reply)
                    moved.append(item)
                    continue
                self._refused(item, reply)
                continue
            if isinstance(item.what, Publishing):
                later.add(item.what.channel)
            self._stored(item, reply)
        unknown.reverse()
        moved.reverse()
        return unknown, moved

    def _stored(self, item: Item, reply: Any) -> None:
        if item.answer.done():
            return
        if isinstance(reply, Stored):
            item.answer.set_result(reply)
            return
        if isinstance(reply, int):
            item.answer.set_result(UNPLACED)
            return
        try:
            (stored,) = self._scripts.stored(reply, item.what.channel)
        except ValueError as error:
            self._address.node.garbage(str(error), "EVALSHA")
            doubt = BrokerUnavailable(f"nobody knows whether it was published: {error}")
            self._fail(item, "unknown", doubt)
        else:
            item.answer.set_result(stored)

    def _refused(self, item: Item, reply: ReplyError) -> None:
        self._tell_node(item, reply)
        error = BrokerRefused(f"{self._address.display} refuses to publish: {reply}")
        self._fail(item, "refused", error)

    def _tell_node(self, item: Item, reply: ReplyError) -> None:
        """Once, however many have gone with one command: they have the same reply."""
        if reply is self._told:
            return
        self._told = reply
        connection = self._connection()
        asked = None if connection is None else connection.endpoint
        self._address.node.refused(str(reply), subject(self._command([item.what])), asked)

    def _fail(self, item: Item, why: str, error: BrokerUnavailable) -> None:
        self._failed(why)
        item.fail(error)

    def _fail_all(self, why: str) -> None:
        waiting, self._waiting = self._waiting, deque()
        self._waiting_bytes = 0
        for item in waiting:
            self._fail(item, "not_connected", BrokerUnavailable(f"not published: {why}"))


def _joins(together: Sequence[Publishing | Tell], what: Publishing) -> bool:
    """Whether it goes with the command of those right before it."""
    first = together[0]
    return isinstance(first, Publishing) and len(together) < MAX_TOGETHER and joins(first, what)
