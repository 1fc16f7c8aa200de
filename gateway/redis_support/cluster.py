"""Which master has which slot of a Cluster: its nodes are asked, and their redirections heard."""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import hiredis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.log import get_logger
from gateway.redis_support.one_connection import ask
from gateway.redis_support.reconnect import reasons
from gateway.redis_support.slots import SLOTS, Sight, newest, read_redirect, read_sight, slot_of
from gateway.redis_support.stream import Command, Endpoint, Place, Stream

log = get_logger(__name__)

_NOBODY: Final = "no node of the Cluster says where its masters are"

ASK_S: Final = 1.0  # how long a node may take
OTHERS_S: Final = 0.1  # how long the others may, once one has answered
ASK_INTERVAL_S: Final = 2.0
ASK_PAUSE_S: Final = 0.1  # between two questions that failures lead to
ASKED_AT_ONCE: Final = 3
FRESH_S: Final = 0.5  # a connection is made without asking before
TOLD_S: Final = 5.0  # a redirection is newer than what other nodes say meanwhile
MAX_OLDER: Final = 3  # sights of an older configuration that are passed over in a row

# Slots that have another master than before, each with the one of before.
Moved = Mapping[int, Endpoint | None]


class ClusterMap:
    """The masters of a Cluster and their slots, as far as is known now.

    Belongs to one event loop, but for ``locate_blocking``.

    Args:
        seeds: Nodes to ask first, and whenever none of those that are known answers.
        tls: The options of the URL that begin with ``ssl``, as redis-py calls them; with a context
            made of them.

    Attributes:
        masters: That have slots.
        silent: No node said anything when they were asked last.
        uncovered: How many slots nobody has.
    """

    def __init__(
        self,
        seeds: Sequence[Endpoint],
        *,
        username: str | None = None,
        password: str | None = None,
        tls: tuple[ssl.SSLContext, Mapping[str, Any]] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.seeds = tuple(seeds)
        self.masters: frozenset[Endpoint] = frozenset()
        self._username, self._password = username, password
        self._context = None if tls is None else tls[0]
        self._tls_options = {} if tls is None else {**tls[1], "ssl": True}
        self._now = now
        self._owners: list[Endpoint | None] = [None] * SLOTS
        self._nodes: frozenset[Endpoint] = frozenset()
        self._epoch = 0
        self._older = 0
        self._told: dict[int, tuple[Endpoint, float]] = {}  # by redirections, and until when
        self._seen_at = float("-inf")
        self._asked_at = float("-inf")
        self._asking: asyncio.Task[None] | None = None
        self._soon: asyncio.Task[None] | None = None
        self._streams: set[asyncio.Task[Sight]] = set()
        self._listeners: list[Callable[[Moved], None]] = []
        self._redirected: dict[int, Endpoint] = {}  # within this turn of the loop
        self.silent = False
        self.uncovered = 0

    def when_changed(self, changed: Callable[[Moved], None]) -> None:
        """Call ``changed`` whenever a slot has another master, or a master has slots no more.

        Until then whoever asks is told the master of before.
        """
        self._listeners.append(changed)

    def no_longer(self, changed: Callable[[Moved], None]) -> None:
        """Call it no more."""
        self._listeners.remove(changed)

    def owner(self, slot: int) -> Endpoint | None:
        """The master of a slot; None while that is unknown, or there is none."""
        return self._owners[slot]

    def owner_of(self, key: str | bytes) -> Endpoint | None:
        """The master of a key or channel."""
        return self._owners[slot_of(key)]

    async def refresh(self) -> None:
        """Ask now. Callers at the same time share one question.

        Raises:
            BrokerUnavailable: No node says.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._refresh(), name="cluster asked")
            self._asking.add_done_callback(_looked_at)
        await asyncio.shield(self._asking)

    def doubt(self) -> None:
        """Something that was done by this map has failed: ask soon."""
        if self._soon is None or self._soon.done():
            self._soon = asyncio.create_task(self._ask_soon(), name="cluster doubted")

    def redirected(self, words: str, asked: Endpoint | None) -> None:
        """A node has answered with MOVED, ASK, TRYAGAIN or CLUSTERDOWN.

        What is believed of that is so from the next turn of the loop on: one read may bring a
        thousand, and those who listen are told once.
        """
        if words.startswith("MOVED ") and asked is not None:
            told = read_redirect(words, asked)
            # Another master than those that are known took over from one of them. Which one that
            # was must be known as well, before anything is written there.
            if told is not None and told[1] in self.masters:
                slot, owner = told
                self._told[slot] = (owner, self._now() + TOLD_S)
                if not self._redirected:
                    asyncio.get_running_loop().call_soon(self._follow_redirections)
                self._redirected[slot] = owner
        if not words.startswith(("ASK ", "TRYAGAIN")):
            self.doubt()

    async def locate(self, slot: int) -> Endpoint:
        """The master of a slot, asked for if that was not done a moment ago.

        Raises:
            BrokerUnavailable: No node says.
        """
        if self._owners[slot] is None or self._now() - self._seen_at > FRESH_S:
            await self.refresh()
        owner = self._owners[slot]
        if owner is None:
            raise BrokerUnavailable(f"no master of the Cluster has slot {slot}")
        return owner

    def locate_blocking(self, slot: int, *, deadline_s: float) -> Endpoint:
        """The same for a process or thread without an event loop. Told to nobody else.

        Raises:
            BrokerUnavailable: No node says.
            ConfigError: They answer, and will never say.
        """
        owner = self.look_blocking(deadline_s=deadline_s).owners[slot]
        if owner is None:
            raise BrokerUnavailable(f"no master of the Cluster has slot {slot}")
        return owner

    def look_blocking(self, *, deadline_s: float) -> Sight:
        """What the first node says that answers. Raises as ``locate_blocking``."""
        errors: list[Exception] = []
        ends_at = self._now() + deadline_s  # for all of them: a supervisor waits
        for number, seed in enumerate(self.seeds, 1):
            left_s = ends_at - self._now()
            if left_s <= 0:
                break
            if number < len(self.seeds):  # one that is silent leaves the others something
                left_s = min(ASK_S, left_s / 2)
            try:
                return self.ask_blocking(seed, left_s)
            except (RedisError, OSError, ValueError) as error:
                errors.append(error)
        if errors and all(isinstance(e, AuthenticationError | ResponseError) for e in errors):
            raise ConfigError(_never(str(errors[0])))
        raise BrokerUnavailable(f"{_NOBODY}: {reasons(errors)}")

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

    async def watch(self) -> None:
        """Ask now and then, until cancelled. Several that watch ask no more often than one."""
        try:
            while True:
                if self._now() - self._asked_at > ASK_INTERVAL_S / 2:
                    with suppress(BrokerUnavailable):
                        await self.refresh()
                await asyncio.sleep(ASK_INTERVAL_S * random.uniform(0.75, 1.25))  # noqa: S311
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Let what is being asked come to its end, ``ASK_S`` at most: a loop may be closed then."""
        if self._soon is not None:
            self._soon.cancel()
        while asking := {
            task
            for task in (self._asking, self._soon, *self._streams)
            if task is not None and not task.done()
        }:
            await asyncio.wait(asking)

    # Asking

    async def _ask_soon(self) -> None:
        await asyncio.sleep(max(0.0, self._asked_at + ASK_PAUSE_S - self._now()))
        with suppress(BrokerUnavailable):
            await self.refresh()

    async def _refresh(self) -> None:
        self._asked_at = self._now()
        errors: list[Exception] = []
        known = random.sample(sorted(self._nodes), min(ASKED_AT_ONCE, len(self._nodes)))
        sights = await self._ask_some(known, errors) if known else []
        if not any(sight.well for sight in sights):
            sights += await self._ask_some([*(self._nodes - {*known}), *self.seeds], errors)
        if not sights:
            if not self.silent:
                self.silent = True
                why = reasons(errors)
                log.warning("no node of the cluster says where its masters are", error=why)
            raise BrokerUnavailable(f"{_NOBODY}: {reasons(errors)}")
        if self.silent:
            self.silent = False
            log.info("cluster answers again")
        self._believe(newest(sights))

    def _believe(self, sight: Sight) -> None:
        if sight.epoch < self._epoch and self._older < MAX_OLDER:
            self._older += 1  # not everybody has heard of the newest configuration yet
            return
        self._older = 0
        self._seen_at = now = self._now()
        self._epoch, self._nodes = sight.epoch, sight.nodes
        owners = list(sight.owners)
        masters = frozenset(owner for owner in owners if owner is not None)
        self._told = {
            slot: told
            for slot, told in self._told.items()
            if told[1] > now and told[0] in masters and owners[slot] != told[0]
        }
        for slot, (owner, _) in self._told.items():
            owners[slot] = owner
        self._count_uncovered(owners.count(None))
        if owners == self._owners and masters == self.masters:
            return
        if self.masters and masters != self.masters:
            log.warning(
                "redis masters changed",
                masters=sorted(f"{host}:{port}" for host, port in masters), epoch=sight.epoch,
            )  # fmt: skip
        moved = {
            slot: before
            for slot, (before, owner) in enumerate(zip(self._owners, owners, strict=True))
            if before != owner
        }
        self._owners, self.masters = owners, masters
        self._tell(moved)

    def _follow_redirections(self) -> None:
        redirected, self._redirected = self._redirected, {}
        moved: dict[int, Endpoint | None] = {}
        for slot, owner in redirected.items():
            if owner in self.masters and self._owners[slot] != owner:
                moved[slot], self._owners[slot] = self._owners[slot], owner
        if moved:
            self._tell(moved)

    def _count_uncovered(self, uncovered: int) -> None:
        if uncovered and not self.uncovered:
            log.warning("slots without a master", slots=uncovered)
        elif self.uncovered and not uncovered:
            log.info("every slot has a master again")
        self.uncovered = uncovered

    def _tell(self, moved: Moved) -> None:
        for changed in tuple(self._listeners):
            changed(moved)

    async def _ask_some(self, nodes: Sequence[Endpoint], errors: list[Exception]) -> list[Sight]:
        # Nobody is broken off: a connection that is cancelled while it is made may leave its
        # socket behind (uvloop). Who takes longer ends by itself, after ASK_S.
        waiting = {asyncio.create_task(self._ask(node)) for node in dict.fromkeys(nodes)}
        self._streams |= waiting
        for task in waiting:
            task.add_done_callback(self._streams.discard)
            task.add_done_callback(_looked_at)
        sights: list[Sight] = []
        ends_at = None
        while waiting:
            timeout = None if ends_at is None else max(0.0, ends_at - self._now())
            done, waiting = await asyncio.wait(
                waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                break
            for task in done:
                error = task.exception()
                if error is None:
                    sights.append(task.result())
                elif isinstance(error, Exception):
                    errors.append(error)
            if ends_at is None and any(sight.well for sight in sights):
                ends_at = self._now() + OTHERS_S
        return sights

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

    def _login(self) -> list[Command]:
        if self._password is None:
            return []
        return [("AUTH", *((self._username,) if self._username else ()), self._password)]


def _never(words: str) -> str:
    if "auth" in words.lower() or "pass" in words.lower() or "NOPERM" in words:
        return f"redis_url: the Cluster lets nobody in like this: {words}"
    return f"redis_url: what it names is no Cluster: {words}"


def _looked_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()  # whoever waited has it; perhaps nobody did
