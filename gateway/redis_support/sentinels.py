"""Where the primary is, as Sentinels say: asked when a connection is made, and all the time.

https://redis.io/docs/latest/develop/reference/sentinel-clients has the rules for clients. Beyond
them: all Sentinels are asked, and the newest configuration counts. One that was cut off goes on
naming the primary of before, which goes on taking writes that will be thrown away.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from redis.exceptions import AuthenticationError, ResponseError

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.redis_support.asking import answers_in_turn, answers_of, looked_at
from gateway.redis_support.sentinel_answers import Answer, choose
from gateway.redis_support.sentinel_listener import SwitchListener
from gateway.redis_support.sentinel_log import SentinelLog
from gateway.redis_support.sentinel_questions import SentinelQuestions
from gateway.redis_support.stream import REDIS_URL, Endpoint, Place

ASK_INTERVAL_S: Final = 2.0
FRESH_S: Final = 0.5  # a connection is made without asking before
ANEW_S: Final = 10.0  # far more than the 2 s in which each Sentinel tells the others what it knows


class Sentinels:
    """The Sentinels that watch over one primary, and what they said last.

    Belongs to one event loop, but for ``locate_blocking``.

    Args:
        name: Of the primary (the "master name").
        tls: The options of the URL that begin with ``ssl``, as redis-py calls them; with a context
            made of them.
        given_by: What the URL was given by, for errors.

    Attributes:
        primary: Where connections are made; None until it was asked for.
        silent: None of them said when they were asked last.
        on_switch: Called at once when ``primary`` becomes another.
    """

    def __init__(
        self,
        hosts: Sequence[Endpoint],
        name: str,
        *,
        username: str | None = None,
        password: str | None = None,
        tls: tuple[ssl.SSLContext, Mapping[str, Any]] | None = None,
        given_by: str = REDIS_URL,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.hosts = tuple(hosts)
        self.name = name
        self.primary: Endpoint | None = None
        self.silent = False
        self.on_switch: Callable[[Endpoint], None] = lambda _primary: None
        self._questions = SentinelQuestions(
            self.hosts, name, username=username, password=password, tls=tls, given_by=given_by
        )
        self._epoch = 0
        self._locating: asyncio.Task[Endpoint] | None = None
        self._asking: set[asyncio.Task[Answer]] = set()
        self._said_at = float("-inf")
        self._told = asyncio.Event()
        self._now = now
        self._places: list[Place] = []  # that were asked last
        self._told_by: dict[Place, Exception | None] = {}  # None: it has answered
        self._answers: dict[Place, Answer] = {}  # the last of each, unless it has failed since
        self._unfound: dict[Endpoint, Exception] = {}  # names that were nobody's
        self._older_since: float | None = None  # most name an older configuration than is known
        self._log = SentinelLog(name, told_after_s=ANEW_S)

    @property
    def away(self) -> Mapping[Endpoint, Exception]:
        """Those that gave no answer when they were asked last, and why.

        A name of which nothing answers is one. Of a name that stands for addresses of both
        families, those of one of which nothing answers are none: a Sentinel often listens on one.
        """
        found: dict[Endpoint, Exception] = dict(self._unfound)
        named: dict[Endpoint, list[Place]] = {}
        for place in self._told_by:
            named.setdefault((place.host, place.port), []).append(place)
        for host, places in named.items():
            well = {":" in place.address for place in places if self._told_by[place] is None}
            for place in places:
                error = self._told_by[place]
                if error is not None and not well:
                    found.setdefault(host, error)
                elif error is not None and (":" in place.address) in well:
                    found[place.address, place.port] = error
        return found

    @property
    def quorum_lost(self) -> bool:
        """Of those that answered last some could promote no replica, and none could."""
        said = {answer.promotes for answer in self._answers.values()}
        return False in said and True not in said

    async def locate(self) -> Endpoint:
        """Where the primary is, asked for if that was not done a moment ago.

        Whoever cannot connect tries again several times a second, with each of its connections, and
        all workers do: Sentinels are to vote then.

        Raises:
            BrokerUnavailable: No Sentinel says.
        """
        if self.primary is not None and self._now() - self._said_at <= FRESH_S:
            return self.primary
        return await self.refresh()

    async def refresh(self) -> Endpoint:
        """Ask where the primary is. Callers at the same time share one question.

        Raises:
            BrokerUnavailable: No Sentinel says.
        """
        if self._locating is None or self._locating.done():
            self._locating = asyncio.create_task(self._locate(), name="sentinels asked")
            self._locating.add_done_callback(looked_at)
        return await asyncio.shield(self._locating)

    def locate_blocking(self, *, deadline_s: float) -> Endpoint:
        """The same for a process or thread without an event loop. Told to nobody else.

        Raises:
            BrokerUnavailable: No Sentinel says.
            ConfigError: They answer, and will never say: the name, or the password, is wrong.
        """
        questions, ends_at = self._questions, self._now() + deadline_s  # a supervisor waits
        places, errors = questions.resolve_blocking()
        asking = answers_in_turn(
            places, questions.ask_blocking, errors, ends_at=ends_at, now=self._now
        )
        if answers := list(asking):
            return choose(answers, None)
        if errors and all(isinstance(e, AuthenticationError | ResponseError) for e in errors):
            raise ConfigError(questions.never(str(errors[0])))
        raise BrokerUnavailable(questions.nobody(errors))

    async def watch(self) -> None:
        """Follow every switch, until cancelled: told of it, and asking in case nobody tells."""
        questions = self._questions
        listener = SwitchListener(
            self._some_place, questions.context, questions.login, self.name, self._now
        )
        listening = asyncio.create_task(listener.run(self._told.set), name="sentinels listened to")
        try:
            while True:
                told = self._told.is_set()
                self._told.clear()
                if told and self._locating is not None:
                    await asyncio.wait({self._locating})  # it may be of before that
                with suppress(BrokerUnavailable):
                    await self.refresh()
                with suppress(TimeoutError):
                    async with asyncio.timeout(ASK_INTERVAL_S * random.uniform(0.75, 1.25)):  # noqa: S311
                        await self._told.wait()
        finally:
            listening.cancel()
            await asyncio.wait({listening})
            await self.aclose()

    async def aclose(self) -> None:
        """Let what is being asked come to its end, ``ASK_S`` at most: a loop may be closed then."""
        while asking := {task for task in (self._locating, *self._asking) if task}:
            if all(task.done() for task in asking):
                return
            await asyncio.wait(asking)

    # Asking

    async def _locate(self) -> Endpoint:
        answers, errors = await self._ask_all()
        if not answers:
            self._older_since = None  # what is said after a silence is said for the first time
            self.silent = True
            self._log.silence(errors)
            raise BrokerUnavailable(self._questions.nobody(errors))
        self._said_at = self._now()
        self.silent = False
        self._log.heard(len(answers), self.away)
        primary = self._decide(answers)
        self._log.look(self._answers, primary, quorum_lost=self.quorum_lost, now=self._said_at)
        return primary

    def _decide(self, answers: Sequence[Answer]) -> Endpoint:
        known = None if self.primary is None else Answer(self.primary, self._epoch)
        newest = max(answer.epoch for answer in answers)
        if known is None or newest >= known.epoch:
            self._older_since = None
        elif not self._begun_anew():
            return known.primary  # those have been cut off
        primary = choose(answers, known)
        self._epoch = newest
        before, self.primary = self.primary, primary
        if before not in (None, primary):
            self._log.switched(primary, epoch=newest, answers=len(answers))
            self.on_switch(primary)
        return primary

    async def _ask_all(self) -> tuple[list[Answer], list[Exception]]:
        self._places = await self._resolve()
        errors = [*self._unfound.values()]
        self._told_by = {p: self._told_by[p] for p in self._places if p in self._told_by}
        self._answers = {p: self._answers[p] for p in self._places if p in self._answers}
        asking: dict[asyncio.Task[Answer], Place] = {}
        for place in self._places:
            task = asyncio.create_task(self._questions.ask(place))
            task.add_done_callback(self._asking.discard)
            task.add_done_callback(partial(self._has_told, place))
            asking[task] = place
        self._asking |= asking.keys()
        said = await answers_of({*asking}, errors, now=self._now)
        for task, place in asking.items():
            if task.done():
                self._has_told(place, task)  # before its turn as a callback
        # One that is always slower than the others is heard all the same: of it counts what it has
        # said to the question before.
        return [*self._answers.values()] if said else [], errors

    def _has_told(self, place: Place, task: asyncio.Task[Answer]) -> None:
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or not (error is None or isinstance(error, Exception)):
            return
        self._told_by[place] = error
        if error is not None:
            self._answers.pop(place, None)
            return
        answer = self._answers[place] = task.result()
        late = self._locating is None or self._locating.done()
        if late and answer.epoch > self._epoch:
            self._told.set()

    def _begun_anew(self) -> bool:
        """Whether what counts is older than what is known: who begins anew begins at 0.

        It does once all say so. And once most have for ``ANEW_S``, while nobody said anything else:
        most have elected the newer one, and would have heard of it.
        """
        if not self.away and self._told_by.keys() >= set(self._places):
            return True
        families: dict[Endpoint, Counter[bool]] = {}
        for place in self._answers:
            families.setdefault((place.host, place.port), Counter())[":" in place.address] += 1
        if sum(max(one.values()) for one in families.values()) <= len(self.away):
            self._older_since = None
            return False
        if self._older_since is None:
            self._older_since = self._now()
        return self._now() - self._older_since >= ANEW_S

    async def _some_place(self) -> Place:
        return random.choice(self._places or await self._resolve())  # noqa: S311

    async def _resolve(self) -> list[Place]:
        places, self._unfound = await self._questions.resolve()
        return places
