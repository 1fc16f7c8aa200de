"""Channels on Redis: pub/sub with history.

One connection publishes, one subscribes, and one brings histories as soon as any are read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Any, Final

from gateway.channel_broker.base import ChannelReceiver, HistoryOptions, Page, Publishing, Stored
from gateway.channel_broker.redis_histories import INFO, HistoryConnection, run_id_in
from gateway.channel_broker.redis_publications import Item, Publications, Tell
from gateway.channel_broker.redis_scripts import HIGHEST, PUBLISH, READ, ChannelScripts
from gateway.errors import BrokerRefused, BrokerUnavailable, UnrecoverablePosition
from gateway.protocol.channel_position import Position
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.recovery import MAX_READ, History, Publication
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.asking import looked_at
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.in_time import add_in_time
from gateway.redis_support.node import subject
from gateway.redis_support.publishing import PublishingConnection
from gateway.redis_support.reader import ReplyError
from gateway.redis_support.slots import is_redirect, read_redirect
from gateway.redis_support.stream import Endpoint
from gateway.redis_support.subscriptions import Subscriptions
from gateway.redis_support.writing import Command

NAMESPACES_S: Final = 3600
# At once. Redis does those of a worker in a row, and answers nobody meanwhile, the leases neither:
# one that brings 20 MB takes 30 ms, or several times that while memory is short.
MAX_READS: Final = 2
MAX_TOPS: Final = 16  # that bring no publications
_A_RUN_ID: Final = re.compile(r"[0-9a-f]{1,64}")


_ASKING: Final[Command] = ("ASKING",)


class Redirected(BrokerRefused):
    """Nothing was done: it is to be done by another server, or later.

    Attributes:
        importing: The server that has what was asked for, and does not own its slot yet.
    """

    def __init__(self, why: str, importing: Endpoint | None) -> None:
        super().__init__(why)
        self.importing = importing


class RedisChannelBroker:
    """``ChannelBroker`` on one Redis node.

    Its publishing connection asks its server for the run id before it is used. A channel that was
    last written or read at a server with another one begins another epoch at the first publication
    or read: a replica may lack the newest offsets that were given out by its predecessor. So what
    brings histories is a connection to the server with that run id, or none.

    Args:
        failed: See ``Publications``.
        elsewhere: The same.

    Attributes:
        run_id: Of the server that it is connected to, or was last.
        on_run_id: Called when that was asked for.
    """

    def __init__(
        self,
        address: RedisAddress,
        *,
        prefix: str,
        name: str = "gateway",
        failed: Callable[[str], object] = lambda _why: None,
        elsewhere: Callable[[list[Item]], None] | None = None,
    ) -> None:
        self._address = address
        self._prefix = prefix
        self._scripts = ChannelScripts(prefix, address.node, publish_verb=address.publish_verb)
        self.run_id = ""
        self.on_run_id: Callable[[], None] = lambda: None
        self._publishing = PublishingConnection(
            address, name=f"{name}.channels.publish", prepare=self._prepare
        )
        self._histories = HistoryConnection(address, name=f"{name}.channels.read")
        self._subscriptions = Subscriptions(address, name=f"{name}.channels.subscribe")
        self.publications = Publications(
            address, self._scripts, self._connection, failed=failed, elsewhere=elsewhere
        )
        self._reads = asyncio.Semaphore(MAX_READS)
        self._tops = asyncio.Semaphore(MAX_TOPS)
        self._reading: set[asyncio.Task[Any]] = set()

    async def run(self, receiver: ChannelReceiver) -> None:
        def on_resync(channels: list[str], _: float) -> None:
            receiver.on_resync(channels)

        subscribing = self._subscriptions.run(receiver.on_messages, on_resync)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.run_publishing(), name="channel publisher")
            tasks.create_task(subscribing, name="channel subscriber")

    @property
    def connected(self) -> bool:
        return self._publishing.connected

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        return add_in_time(self._subscriptions, self._key(channel), channel, self._address)

    def unsubscribe(self, channel: str) -> None:
        self._subscriptions.remove(self._key(channel))

    def settle(self, channel: str = "") -> asyncio.Future[None]:  # noqa: ARG002 (all come one way)
        return self._subscriptions.settle()

    def publish(self, publishing: Publishing) -> asyncio.Future[Stored]:
        return self.publications.publish(publishing)

    def tell(self, channel: str, message: bytes) -> asyncio.Future[Stored]:
        return self.publications.tell(Tell(channel, message))

    def read_at(self, channel: str) -> None:
        """All at one place."""

    # What is asked ``while_importing`` concerns keys whose slot is still another server's.

    async def read(
        self,
        channel: str,
        after: int | None,
        history: HistoryOptions,
        *,
        while_importing: bool = False,
    ) -> History:
        top, found = await self._read(
            channel,
            history,
            limit=0 if after is None else MAX_READ,
            low=1 if after is None else after + 1,
            reverse=True,
            while_importing=while_importing,
        )
        return History(top, found[::-1])

    async def page(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        since: Position | None = None,
        reverse: bool = False,
        while_importing: bool = False,
    ) -> Page:
        low, high = 1, HIGHEST
        if since is not None:
            low, high = (1, since.offset - 1) if reverse else (since.offset + 1, HIGHEST)
        epoch = "" if since is None else since.epoch
        top, found = await self._read(
            channel, history, limit=min(limit, MAX_READ),
            low=low, high=high, epoch=epoch, reverse=reverse, while_importing=while_importing,
        )  # fmt: skip
        if epoch not in ("", top.epoch):
            raise UnrecoverablePosition(f"epoch {epoch} of {channel} is over")
        return Page(top, found)

    async def remove_history(self, channel: str, *, while_importing: bool = False) -> None:
        await self._ask(self._scripts.remove(channel), while_importing)

    async def share_namespaces(
        self, said: str, *, starting: bool, while_importing: bool = False
    ) -> None:
        key = keys.namespaces(self._prefix)
        command = ("SET", key, said, "EX", NAMESPACES_S, *(() if starting else ("NX",)))
        await self._ask(command, while_importing)
        if not starting:
            await self._ask(("EXPIRE", key, NAMESPACES_S), while_importing)

    async def shared_namespaces(self, *, while_importing: bool = False) -> str | None:
        said = await self._ask(("GET", keys.namespaces(self._prefix)), while_importing)
        return said.decode(errors="replace") if isinstance(said, bytes) else None

    async def departed(
        self,
        left: Mapping[str, int],
        returned: Collection[str],
        *,
        most: int,
        while_importing: bool = False,
    ) -> list[str]:
        """Add and take out run ids of servers that have left a Cluster (``departed.Exchange``).

        Args:
            most: So many are kept.
        """
        key = keys.departed(self._prefix)
        try:
            told = await self._ask(("ZRANGE", key, 0, -1), while_importing)
        except BrokerRefused as error:
            if "WRONGTYPE" not in str(error):
                raise
            self._address.node.garbage("another type, removed", key)
            await self._ask(("DEL", key), while_importing)
            told = []
        found = [one.decode(errors="surrogateescape") for one in told if isinstance(one, bytes)]
        new = {run_id: when for run_id, when in left.items() if run_id not in found}
        every = [*(one for one in found if one not in returned), *new]
        kept = [one for one in every if _A_RUN_ID.fullmatch(one)][-most:]
        if going := [one for one in found if one not in kept]:
            words = [one.encode(errors="surrogateescape") for one in going]
            await self._ask(("ZREM", key, *words), while_importing)
        for run_id, when in new.items():
            await self._ask(("ZADD", key, when, run_id), while_importing)
        return kept

    async def run_publishing(self) -> None:
        """Keep up the connections that publish and read, and no other, until cancelled."""
        try:
            await self._publishing.run()
        finally:
            self._histories.drop()

    def _key(self, channel: str) -> bytes:
        return self._scripts.channel(channel).encode()

    def _connection(self) -> RedisConnection | None:
        return self._publishing.connection

    async def _prepare(self, connection: RedisConnection) -> None:
        loads = [self._scripts.load(PUBLISH), self._scripts.load(READ)]
        info, *loaded = await connection.execute([INFO, *loads])
        for command, reply in zip(loads, loaded, strict=True):
            if isinstance(reply, ReplyError):
                self._address.node.refused(str(reply), subject(command))
                raise BrokerRefused(f"{self._address.display} refuses SCRIPT LOAD: {reply}")
        self.run_id = run_id_in(info, self._address)
        self.trust(())
        self.on_run_id()

    def trust(self, run_ids: Iterable[str]) -> None:
        """Channels may come from servers with these run ids, with all that they have.

        Args:
            run_ids: Or their first ``departed.LETTERS``.
        """
        self._scripts.server = " ".join((self.run_id, *run_ids))

    async def _read(
        self,
        channel: str,
        history: HistoryOptions,
        *,
        limit: int,
        while_importing: bool,
        **bounds: Any,
    ) -> tuple[Position, list[Publication]]:
        """A read counts until it is answered, whether anybody still waits for that or not."""
        room = self._reads if limit else self._tops
        try:
            async with asyncio.timeout(REDIS_DEADLINE_S):
                await room.acquire()
        except TimeoutError:
            most = MAX_READS if limit else MAX_TOPS
            raise BrokerUnavailable(f"{most} reads are under way already") from None
        command = partial(self._scripts.read, channel, history, limit=limit, **bounds)
        reading = self._ask(command, while_importing, history=limit > 0)
        asked = asyncio.create_task(reading, name="channel read")
        self._reading.add(asked)
        asked.add_done_callback(partial(self._was_read, room))
        reply = await asyncio.shield(asked)
        try:
            return self._scripts.found(reply, channel)
        except ValueError as error:
            self._address.node.garbage(str(error), "EVALSHA")
            raise BrokerUnavailable(f"{self._address.display}: {error}") from error

    def _was_read(self, room: asyncio.Semaphore, asked: asyncio.Task[Any]) -> None:
        self._reading.discard(asked)
        room.release()
        looked_at(asked)

    async def _history_connection(self) -> RedisConnection:
        """One to the server whose run id the scripts are told now."""
        run_id = self.run_id
        connection = await self._histories.to(run_id)
        if self._publishing.connection is None or self.run_id != run_id:
            raise BrokerUnavailable(f"{self._address.display} is another server meanwhile")
        return connection

    async def _ask(
        self,
        command: Command | Callable[[], Command],
        while_importing: bool,
        *,
        history: bool = False,
    ) -> Any:
        """One command, that may be repeated. Its reply.

        Args:
            command: Or what makes it once it is known which connection it goes to: a script is told
                that server's run id.
            history: The reply is one: publications do not wait behind it.
        """
        connection = self._publishing.connection
        if connection is None:
            raise BrokerUnavailable(f"not connected to {self._address.display}")
        if history:
            connection = await self._history_connection()
        said = command() if callable(command) else command
        asked = [_ASKING, said] if while_importing else [said]
        *_, reply = await connection.execute(asked)
        if isinstance(reply, ReplyError) and str(reply).startswith("NOSCRIPT"):
            *_, reply = await connection.execute([self._scripts.load(READ), *asked])
        if isinstance(reply, ReplyError):
            words, endpoint = str(reply), connection.endpoint
            self._address.node.refused(words, subject(said), endpoint)
            why = f"{self._address.display} refuses: {words}"
            if not is_redirect(words):
                raise BrokerRefused(why)
            told = read_redirect(words, endpoint) if endpoint and words.startswith("ASK ") else None
            raise Redirected(why, None if told is None else told[1])
        return reply
