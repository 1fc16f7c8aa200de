"""``gateway.client``: connect to the broker of the workers, and ask as one of them would."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from gateway import arguments
from gateway.backend_client.asynchronous import AsyncClient
from gateway.backend_client.blocking import Client, LoopThread
from gateway.backend_client.channels import ClientChannels
from gateway.backend_client.inbox_watch import InboxWatch
from gateway.backend_client.parts import begin
from gateway.backend_client.variants import client_variants
from gateway.broker.redis_cluster import broker_at
from gateway.errors import BrokerUnavailable
from gateway.process.run_file import the_running_gateway
from gateway.protocol.deadlines import INBOX_CHOICE_S, LEASE_S
from gateway.protocol.ids import RANDOM_BYTES_PER_WORKER_ID, WorkerId, worker_id
from gateway.redis_support import keys
from gateway.redis_support.check import why_not
from gateway.redis_support.first_answer import first_answer
from gateway.redis_support.reachable_inbox import with_reachable_inbox
from gateway.redis_support.url import parse
from gateway.registry.redis import RedisRegistry
from gateway.settings.values import PREFIX_IS, Secret, is_prefix

CONNECT_S: Final = 5.0
WHY_S: Final = 1.0
ENTER_S: Final = INBOX_CHOICE_S + 2 * CONNECT_S  # far more than it takes, or a bug

_ENTERED_TWICE: Final = "this client is in use, or has been: make one for each `with` block"


def new_client_id() -> WorkerId:
    return worker_id(os.urandom(RANDOM_BYTES_PER_WORKER_ID))


class client:  # noqa: N801 (it is used like a function, as `open` is)
    """Send to the connections of a gateway from a process that is none of its workers.

    ::

        with gateway.client("redis://…") as client:          # a view, a task, a script
            receipt = client.send(connection_id, "your order has shipped")
            client.publish("orders", {"shipped": order_id})

        async with gateway.client("redis://…") as client:    # asyncio
            receipt = await client.send(connection_id, "…", key=order_id)

    Make one for the life of the process: it holds three connections to Redis, with channels up to
    five, and with ``with`` a thread. After a fork make another one. Where OpenTelemetry is
    installed and the caller has a span that is sampled, all that it asks is a part of its trace.

    Args:
        redis_url: The broker of the workers: their ``GATEWAY_REDIS_URL``. Without it, what
            ``gateway serve`` runs for this user, started in the current folder; prefix and lease
            are then known.
        prefix: Their ``GATEWAY_REDIS_PREFIX``.
        lease_s: Their ``GATEWAY_LEASE_SECONDS``.

    Raises:
        TypeError, ValueError: An argument cannot be.
        ConfigError: The address is none; or none is given, and no gateway runs here, or several.
        BrokerUnavailable: On entering: it could not be connected within 5 s. It says why, in the
            words of ``gateway serve``; to ask takes 2 s more. Of a Cluster, up to 6 s go before
            for the choice of a master that takes answers, if some are away.

    Leaving a ``with`` block takes 15 s at most, whatever its thread hangs in.
    """

    def __init__(
        self, redis_url: str | None = None, *, prefix: str = "gw", lease_s: float = LEASE_S
    ) -> None:
        prefix, lease_s = arguments.text("prefix", prefix), arguments.seconds("lease_s", lease_s)
        if not is_prefix(prefix):
            raise ValueError(f"prefix={prefix!r} is not {PREFIX_IS}")
        if redis_url is None:
            run = the_running_gateway(folder=Path.cwd(), otherwise="give its redis_url")
            redis_url, prefix, lease_s = run.redis_url, run.redis_prefix, run.lease_seconds
        self._begin(arguments.text("redis_url", redis_url, " or None"), prefix, lease_s)

    def _begin(self, redis_url: str | Secret, prefix: str, lease_s: float) -> None:
        self._address = parse(redis_url)
        self._prefix = prefix
        self._lease_s = lease_s
        self._entered: AbstractAsyncContextManager[AsyncClient] | None = None
        self._thread: LoopThread | None = None

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
        self._thread = thread = LoopThread()
        try:
            return Client(thread.call(self.__aenter__, within_s=ENTER_S), thread)
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

    async def _reachable_id(self) -> WorkerId:
        """One whose inbox is at a master that answers: no answer would come to any other."""
        if self._address.cluster is None:
            return new_client_id()
        return await asyncio.to_thread(
            with_reachable_inbox, self._address, self._prefix, draw=new_client_id
        )

    async def _why(self) -> str:
        """What kept it from being connected in time: asked anew, as ``gateway serve`` does."""
        # Each silent master of a Cluster takes its own time, and a name server as long as it likes.
        # What has not ended by then ends in a thread that holds up neither loop nor process.
        question = partial(why_not, self._address, self._prefix)
        why = await asyncio.to_thread(
            first_answer,
            [lambda _left_s: question(deadline_s=WHY_S)],
            deadline_s=2 * WHY_S,
            errors=[],
        )
        if why is None:
            return f"{self._address.display} does not answer within {CONNECT_S:g} s"
        return f"{why} (tried for {CONNECT_S:g} s)"

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[AsyncClient]:
        me = await self._reachable_id()
        name = f"gateway.client.{me}"
        broker = broker_at(self._address, name=name)
        registry = RedisRegistry(self._address, prefix=self._prefix, name=name)
        variants = client_variants()
        channels = ClientChannels(
            self._address,
            prefix=self._prefix,
            name=name,
            publisher=variants.publisher,
            presence=variants.presence,
        )
        inbox = variants.inbox(me, broker, self._prefix)
        requests_to_owners = variants.requests_to_owners(
            inbox, registry.look, lease_s=self._lease_s, unlinked=True
        )
        inbox.requests_to_owners = requests_to_owners
        tasks = [
            begin(broker.run(inbox), "client broker"),
            begin(inbox.run(), "client outgoing"),
        ]
        if self._address.cluster is not None:
            watch = InboxWatch(inbox, broker, self._prefix, draw=new_client_id)
            tasks.append(begin(watch.run(), "client inbox watched"))
        try:
            try:
                async with asyncio.timeout(CONNECT_S):
                    await broker.subscribe(keys.inbox(self._prefix, me))
                    await inbox.can_publish()
            except TimeoutError:
                raise BrokerUnavailable(await self._why()) from None
            requests_to_users = variants.requests_to_users(requests_to_owners, registry.of_user)
            users_of_batches = variants.requests_to_users(
                requests_to_owners, registry.of_user, at_once=1
            )
            survey = variants.survey(requests_to_owners, registry, requests_to_users)
            yield AsyncClient(
                requests_to_owners, requests_to_users, users_of_batches, survey, channels
            )
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await requests_to_owners.aclose()
            await channels.aclose()
            await registry.aclose()


def client_at(redis_url: Secret, *, prefix: str, lease_s: float) -> client:
    """One for settings, whose errors name what the URL was given by. For tools."""
    made = client.__new__(client)
    made._begin(redis_url, prefix, lease_s)  # noqa: SLF001
    return made
