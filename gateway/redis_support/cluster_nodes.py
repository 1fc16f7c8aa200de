"""The nodes of a Cluster, asked which master has which slot."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import hiredis
from redis.exceptions import AuthenticationError, ResponseError

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.log import get_logger
from gateway.redis_support.asking import ASK_S, answers_in_turn, answers_of, looked_at
from gateway.redis_support.one_connection import ask
from gateway.redis_support.reconnect import reasons
from gateway.redis_support.slots import Sight, newest, read_sight
from gateway.redis_support.stream import REDIS_URL, Command, Endpoint, Place, Stream

log = get_logger(__name__)

_NOBODY: Final = "no node of the Cluster says where its masters are"

ASKED_AT_ONCE: Final = 3
ANEW_S: Final = 10.0  # far more than a node is away that only begins anew, or cannot be reached


class ClusterNodes:
    """Asks them, some at a time.

    Belongs to one event loop, but for ``look_blocking``.

    Args:
        seeds: Those to ask first, and whenever none of those that are known answers.
        tls: The options of the URL that begin with ``ssl``, as redis-py calls them; with a context
            made of them.
        given_by: What the URL was given by, for errors.

    Attributes:
        silent: None said anything when they were asked last.
    """

    def __init__(
        self,
        seeds: Sequence[Endpoint],
        *,
        username: str | None = None,
        password: str | None = None,
        tls: tuple[ssl.SSLContext, Mapping[str, Any]] | None = None,
        given_by: str = REDIS_URL,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seeds = tuple(seeds)
        self.silent = False
        self._username, self._password = username, password
        self._context = None if tls is None else tls[0]
        self._tls_options = {} if tls is None else {**tls[1], "ssl": True}
        self._given_by = given_by
        self._now = now
        self._asking: set[asyncio.Task[Sight]] = set()
        self._ids: frozenset[bytes] = frozenset()  # of the nodes of this Cluster
        self._strangers: frozenset[bytes] = frozenset()  # those of others, of which that was said
        self._replaced_since: float | None = None  # others answer, and none of this Cluster

    async def ask(self, known: Collection[Endpoint]) -> Sight:
        """What is to be believed of what they say.

        A node of another Cluster may have the address that one of this had, and a newer
        configuration. It is believed once none of this has answered for ``ANEW_S``, while it did.

        Args:
            known: Some of these are asked, and all of them if none of those sees a majority.

        Raises:
            BrokerUnavailable: No node says.
        """
        errors: list[Exception] = []
        some = random.sample(sorted(known), min(ASKED_AT_ONCE, len(known)))
        sights = await self._ask_some(some, errors) if some else []
        if not any(self._is_enough(sight) for sight in sights):
            sights += await self._ask_some([*({*known} - {*some}), *self.seeds], errors)
        if (sight := self._believed(sights)) is None:
            if sights:
                errors.append(ValueError("those that answer are of another Cluster, or of none"))
            if not self.silent:
                self.silent = True
                why = self._reasons(errors)
                log.warning("no node of the cluster says where its masters are", error=why)
            raise BrokerUnavailable(f"{_NOBODY}: {self._reasons(errors)}")
        if self.silent:
            self.silent = False
            log.info("cluster answers again")
        return sight

    def look_blocking(self, *, deadline_s: float) -> Sight:
        """What the first node says that answers. For a process or thread without an event loop.

        Raises:
            BrokerUnavailable: No node says.
            ConfigError: They answer, and will never say.
        """
        errors: list[Exception] = []
        ends_at = self._now() + deadline_s  # for all of them: a supervisor waits
        for sight in answers_in_turn(
            self.seeds, self.ask_blocking, errors, ends_at=ends_at, now=self._now
        ):
            return sight
        if errors and all(isinstance(e, AuthenticationError | ResponseError) for e in errors):
            raise ConfigError(self._never(str(errors[0])))
        raise BrokerUnavailable(f"{_NOBODY}: {self._reasons(errors)}")

    def ask_blocking(self, node: Endpoint, deadline_s: float) -> Sight:
        """What this one says. Any thread may ask.

        Args:
            deadline_s: For connecting, and for each reply.

        Raises:
            RedisError, OSError, ValueError: Nothing, or nothing that can be read.
        """
        info, slots = ask(
            *node, ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS"),
            deadline_s=deadline_s,
            username=self._username, password=self._password, **self._tls_options,
        )  # fmt: skip
        return read_sight(info, slots, node)

    async def settle(self) -> None:
        """Wait until nobody is asked any more, ``ASK_S`` at most: a loop may be closed then."""
        while self._asking:
            await asyncio.wait(self._asking)

    async def _ask_some(self, nodes: Sequence[Endpoint], errors: list[Exception]) -> list[Sight]:
        asking = {asyncio.create_task(self._ask(node)) for node in dict.fromkeys(nodes)}
        self._asking |= asking
        for task in asking:
            task.add_done_callback(self._asking.discard)
            task.add_done_callback(looked_at)
        return await answers_of(asking, errors, enough=self._is_enough, now=self._now)

    def _is_enough(self, sight: Sight) -> bool:
        return sight.well and not self._is_another(sight)

    def _is_another(self, sight: Sight) -> bool:
        """Whether it is of another Cluster than what was believed last."""
        return bool(sight.ids and self._ids) and sight.ids.isdisjoint(self._ids)

    def _believed(self, sights: Sequence[Sight]) -> Sight | None:
        others = [sight for sight in sights if self._is_another(sight)]
        # One that was reset names no node: it is of no Cluster.
        own = [s for s in sights if not self._is_another(s) and (s.ids or not self._ids)]
        for other in others:
            if other.ids.isdisjoint(self._strangers):
                nodes = sorted(f"{host}:{port}" for host, port in other.nodes)
                log.warning("a node of another cluster answers", its_nodes=nodes)
            self._strangers |= other.ids
        if own or not sights:
            self._replaced_since = None
        if not sights or not (own or self._is_replaced()):
            return None
        believed = newest(own or sights)
        self._ids = believed.ids or self._ids
        return believed

    def _is_replaced(self) -> bool:
        """Whether others have answered instead for long: all may be away for a moment."""
        if self._replaced_since is None:
            self._replaced_since = self._now()
        return self._now() - self._replaced_since >= ANEW_S

    async def _ask(self, node: Endpoint) -> Sight:
        async with asyncio.timeout(ASK_S):
            stream = await Stream.open(Place(*node, node[0]), self._context)
            try:
                *greeting, info, slots = await stream.ask(
                    *self._login(), ("CLUSTER", "INFO"), ("CLUSTER", "SLOTS")
                )
            finally:
                stream.close()
        for reply in (*greeting, info, slots):
            if isinstance(reply, hiredis.ReplyError):
                raise ResponseError(str(reply))
        return read_sight(info, slots, node)

    def _reasons(self, errors: Sequence[Exception]) -> str:
        return reasons(errors, tls=self._context is not None)

    def _login(self) -> list[Command]:
        if self._password is None:
            return []
        return [("AUTH", *((self._username,) if self._username else ()), self._password)]

    def _never(self, words: str) -> str:
        if "auth" in words.lower() or "pass" in words.lower() or "NOPERM" in words:
            return f"{self._given_by}: the Cluster lets nobody in like this: {words}"
        return (
            f"{self._given_by}: what it names is no Cluster (for a single Redis write "
            f"redis://host, for Sentinels redis+sentinel://host,host/primary): {words.strip()}"
        )
