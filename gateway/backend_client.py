"""Sending from a process that is no worker: a Django view, a Celery task, a script.

Such a process asks the owner of a connection as a worker would, by an inbox of its own. It has no
link, so a question or an answer that pub/sub loses ends as UNREACHABLE.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gateway.broker.base import Resync
from gateway.broker.redis import RedisBroker
from gateway.errors import BrokerUnavailable, Disconnected, NotRunning, check_close
from gateway.handlers.table import Connection, of_entries
from gateway.messaging.owner_requests import OwnerRequests
from gateway.messaging.user_requests import UserRequests
from gateway.process.run_folder import the_running_gateway
from gateway.protocol.envelopes.owner_requests import Question, Receipted
from gateway.protocol.envelopes.wire import encode, hint, read
from gateway.protocol.ids import RANDOM_BYTES_PER_WORKER_ID, WorkerId, worker_id
from gateway.protocol.receipt import Receipt, Sent
from gateway.redis_support import keys
from gateway.redis_support.address import parse
from gateway.registry.redis import RedisRegistry

CONNECT_S: Final = 5.0
RETRY_S: Final = 0.01
LEASE_S: Final = 10.0
ANSWER_S: Final = 10.0  # far more than it takes, or a bug
ANSWERS_S: Final = 60.0  # the same, of all connections of a user

_ENTERED_TWICE: Final = "this client is in use, or has been: make one for each `with` block"

_T = TypeVar("_T")


class AsyncClient:
    """What ``async with gateway.client(url)`` gives. Safe to use from several tasks of its loop."""

    def __init__(self, owner_requests: OwnerRequests, user_requests: UserRequests) -> None:
        self._owner_requests = owner_requests
        self._user_requests = user_requests

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        """As ``Gateway.send``."""
        return await self._owner_requests.send(connection, text, key=key)

    async def disconnect(
        self,
        connection: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> Receipt:
        """As ``Gateway.disconnect``."""
        check_close(code, reason)
        return await self._owner_requests.disconnect(connection, code, reason)

    async def send_to_user(self, user: str, text: str, *, key: str | None = None) -> list[Sent]:
        """As ``Gateway.send_to_user``."""
        return await self._user_requests.send(user, text, key=key)

    async def disconnect_user(
        self,
        user: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> list[Sent]:
        """As ``Gateway.disconnect_user``."""
        check_close(code, reason)
        return await self._user_requests.disconnect(user, code, reason)

    async def connections(self, *, user: str) -> list[Connection]:
        """As ``Gateway.connections``."""
        return of_entries(await self._user_requests.connections(user))


async def inquire(client: AsyncClient, connection: str) -> Receipted:
    """What the owner of a connection says of it. For tools."""
    return await client._owner_requests.inquire(connection)  # noqa: SLF001


class Client:
    """What ``with gateway.client(url)`` gives. Safe to use from several threads."""

    def __init__(self, asynchronous: AsyncClient, thread: _LoopThread) -> None:
        self._asynchronous = asynchronous
        self._thread = thread

    def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        """As ``Gateway.send``; blocks for 4 s at most.

        Raises:
            NotRunning: After the ``with`` block, or in a child process forked from within it.
        """
        return self._thread.call(
            lambda: self._asynchronous.send(connection, text, key=key), within_s=ANSWER_S
        )

    def disconnect(
        self,
        connection: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> Receipt:
        """As ``Gateway.disconnect``; blocks and raises as ``send`` does."""
        return self._thread.call(
            lambda: self._asynchronous.disconnect(connection, code, reason), within_s=ANSWER_S
        )

    def send_to_user(self, user: str, text: str, *, key: str | None = None) -> list[Sent]:
        """As ``Gateway.send_to_user``; blocks for about 9 s at most, and raises as ``send`` does.

        For as much longer as a user has more than 500 connections.
        """
        return self._thread.call(
            lambda: self._asynchronous.send_to_user(user, text, key=key), within_s=ANSWERS_S
        )

    def disconnect_user(
        self,
        user: str,
        code: int = Disconnected.close_code,
        reason: str = Disconnected.reason,
    ) -> list[Sent]:
        """As ``Gateway.disconnect_user``; blocks and raises as ``send_to_user`` does."""
        return self._thread.call(
            lambda: self._asynchronous.disconnect_user(user, code, reason), within_s=ANSWERS_S
        )

    def connections(self, *, user: str) -> list[Connection]:
        """As ``Gateway.connections``; blocks for 5 s at most, and raises as ``send`` does."""
        return self._thread.call(
            lambda: self._asynchronous.connections(user=user), within_s=ANSWER_S
        )


class client:  # noqa: N801 (it is used like a function, as `open` is)
    """Send to the connections of a gateway from a process that is none of its workers.

    ::

        with gateway.client("redis://…") as client:          # a view, a task, a script
            receipt = client.send(connection_id, "your order has shipped")

        async with gateway.client("redis://…") as client:    # asyncio
            receipt = await client.send(connection_id, "…", key=order_id)

    Make one for the life of the process: it holds three connections to Redis, and with ``with`` a
    thread. After a fork make another one.

    Args:
        redis_url: The broker of the workers: their ``GATEWAY_REDIS_URL``. Without it, what
            ``gateway serve`` runs for this user, started in the current folder; prefix and lease
            are then known.
        prefix: Their ``GATEWAY_REDIS_PREFIX``.
        lease_s: Their ``GATEWAY_LEASE_SECONDS``.

    Raises:
        ConfigError: The address is none; or none is given, and no gateway runs here, or several.
        BrokerUnavailable: On entering: Redis does not answer within 5 s.
    """

    def __init__(
        self, redis_url: str | None = None, *, prefix: str = "gw", lease_s: float = LEASE_S
    ) -> None:
        if redis_url is None:
            run = the_running_gateway(folder=Path.cwd(), otherwise="give its redis_url")
            redis_url, prefix, lease_s = run.redis_url, run.redis_prefix, run.lease_seconds
        self._address = parse(redis_url)
        self._prefix = prefix
        self._lease_s = lease_s
        self._entered: AbstractAsyncContextManager[AsyncClient] | None = None
        self._thread: _LoopThread | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> None:
            how = "; use `with gateway.client() as client:`" if hasattr(Client, name) else ""
            raise AttributeError(f"'client' object has no attribute {name!r}{how}")

    async def __aenter__(self) -> AsyncClient:
        if self._entered is not None:
            raise RuntimeError(_ENTERED_TWICE)
        self._entered = self._running()
        return await self._entered.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._entered is not None:
            await self._entered.__aexit__(kind, error, traceback)

    def __enter__(self) -> Client:
        if self._thread is not None:
            raise RuntimeError(_ENTERED_TWICE)
        self._thread = thread = _LoopThread()
        try:
            return Client(thread.call(self.__aenter__, within_s=2 * CONNECT_S), thread)
        except BaseException:
            thread.stop()
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._thread is not None and self._thread.usable:
            try:
                self._thread.call(lambda: self.__aexit__(None, None, None), within_s=2 * CONNECT_S)
            finally:
                self._thread.stop()

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[AsyncClient]:
        me = worker_id(os.urandom(RANDOM_BYTES_PER_WORKER_ID))
        name = f"gateway.client.{me}"
        broker = RedisBroker(self._address, name=name)
        registry = RedisRegistry(self._address, prefix=self._prefix, name=name)
        inbox = _Inbox(me, broker, self._prefix)
        owner_requests = OwnerRequests(inbox, registry.look, lease_s=self._lease_s, unlinked=True)
        inbox.owner_requests = owner_requests
        tasks = [
            asyncio.create_task(broker.run(inbox), name="client broker"),
            asyncio.create_task(inbox.run(), name="client outgoing"),
        ]
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await broker.subscribe(keys.inbox(self._prefix, me))
                    await inbox.can_publish()
            except TimeoutError:
                message = f"{self._address.display} does not answer within {CONNECT_S:g} s"
                raise BrokerUnavailable(message) from None
            yield AsyncClient(owner_requests, UserRequests(owner_requests, registry.of_user))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await owner_requests.aclose()
            await registry.aclose()


class _Inbox:
    """This process's channel, and the way out of it (``RequestTransport``)."""

    def __init__(self, me: WorkerId, broker: RedisBroker, prefix: str) -> None:
        self.owner_requests: OwnerRequests | None = None
        self._me = me
        self._broker = broker
        self._prefix = prefix
        self._waiting: list[tuple[WorkerId, Question]] = []
        self._work = asyncio.Event()

    def knows(self, owner: WorkerId) -> bool:  # noqa: ARG002
        """True: a PUBLISH that reaches nobody tells as much as a look beforehand would."""
        return True

    def ask(self, owner: WorkerId, question: Question) -> bool:
        encode(question)  # only for its bounds
        self._waiting.append((owner, question))
        self._work.set()
        return True

    async def run(self) -> None:
        """Publish what has collected, all in one round trip, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            asked, self._waiting = self._waiting, []
            outgoing = [
                (keys.inbox(self._prefix, owner), hint(self._me, question))
                for owner, question in asked
            ]
            try:
                reached = await self._broker.publish(outgoing)
            except BrokerUnavailable:
                for _, question in asked:
                    self._the_asker.unreachable(question.number)
                continue
            for owner in {o for (o, _), n in zip(asked, reached, strict=True) if not n}:
                self._the_asker.worker_gone(owner)

    async def can_publish(self) -> None:
        """Return once there is a connection that publishes."""
        probe = (keys.inbox(self._prefix, self._me), b"")
        while True:
            try:
                await self._broker.publish([probe])
            except BrokerUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        for _, payload in deliveries:
            batch = read(payload)
            if batch is not None:
                for envelope in batch.envelopes:
                    if isinstance(envelope, Receipted):
                        self._the_asker.answered(batch.header.sender, envelope)

    def on_resync(self, resync: Resync) -> None:
        """What was lost will be UNREACHABLE."""

    @property
    def _the_asker(self) -> OwnerRequests:
        assert self.owner_requests is not None
        return self.owner_requests


class _LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._stopped = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="gateway client", daemon=True
        )
        self._thread.start()

    @property
    def usable(self) -> bool:
        """False once stopped, and in a forked child, which has no such thread."""
        return not self._stopped and os.getpid() == self._pid

    def call(self, ask: Callable[[], Coroutine[Any, Any, _T]], *, within_s: float) -> _T:
        """Run a coroutine over there, and wait for it.

        Raises:
            NotRunning: Nobody is there to run it, or the client was closed meanwhile.
        """
        if not self.usable:
            raise NotRunning  # before the lock: a fork may have copied it locked
        with self._lock:
            if self._stopped:
                raise NotRunning
            asked = asyncio.run_coroutine_threadsafe(ask(), self._loop)
        try:
            return asked.result(within_s)
        except concurrent.futures.CancelledError:
            raise NotRunning from None

    def stop(self) -> None:
        """Whoever waits for an answer is told that the client has ended."""
        with self._lock:
            self._stopped = True  # whatever was asked is over there by now, and is cancelled
        asyncio.run_coroutine_threadsafe(self._cancel_the_rest(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _cancel_the_rest(self) -> None:
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
