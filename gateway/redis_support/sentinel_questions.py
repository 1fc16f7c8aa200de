"""How Sentinels are asked where a primary is: found, let in, and what of their answers is an error.

On an event loop, or without one for a supervisor.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import hiredis
from redis.exceptions import ResponseError

from gateway.redis_support.asking import ASK_S
from gateway.redis_support.one_connection import ask
from gateway.redis_support.reconnect import reasons
from gateway.redis_support.sentinel_answers import Answer, read_answer
from gateway.redis_support.stream import UNCONNECTED, Command, Endpoint, Place, Stream


class SentinelQuestions:
    """Asks each by itself, and remembers nothing of what it said.

    Args:
        name: Of the primary (the "master name").
        tls: The options of the URL that begin with ``ssl``, as redis-py calls them; with a context
            made of them.
        given_by: What the URL was given by, for errors.

    Attributes:
        login: What to say first, where they want to know who asks.
    """

    def __init__(
        self,
        hosts: Sequence[Endpoint],
        name: str,
        *,
        username: str | None,
        password: str | None,
        tls: tuple[ssl.SSLContext, Mapping[str, Any]] | None,
        given_by: str,
    ) -> None:
        self._hosts = hosts
        self._name = name
        self._given_by = given_by
        self._username, self._password = username, password
        self._tls_options = {} if tls is None else {**tls[1], "ssl": True}
        self.context = None if tls is None else tls[0]
        self.login: list[Command] = []
        if password is not None:
            self.login.append(("AUTH", *((username,) if username else ()), password))

    async def resolve(self) -> tuple[list[Place], dict[Endpoint, Exception]]:
        """Where they are now, and which names are nobody's, and why."""
        loop, places = asyncio.get_running_loop(), dict[Place, None]()
        unfound: dict[Endpoint, Exception] = {}
        for host, port in self._hosts:
            try:
                async with asyncio.timeout(ASK_S):
                    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except UNCONNECTED as error:
                unfound[host, port] = error
            else:
                places.update((Place(str(info[4][0]), port, host), None) for info in found)
        return list(places), unfound

    def resolve_blocking(self) -> tuple[list[Place], list[Exception]]:
        """Where they are now, and what went wrong with names."""
        places: dict[Place, None] = {}
        errors: list[Exception] = []
        for host, port in self._hosts:
            try:
                found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except UNCONNECTED as error:
                errors.append(error)
            else:
                places.update((Place(str(info[4][0]), port, host), None) for info in found)
        return list(places), errors

    async def ask(self, place: Place) -> Answer:
        """What this one says, within ``ASK_S``.

        Raises:
            ResponseError: It refuses, or knows no such primary.
            OSError, TimeoutError, ValueError: It is not reached, or what it says is no answer.
        """
        async with asyncio.timeout(ASK_S):
            stream = await Stream.open(place, self.context)
            try:
                *greeting, told, quorum = await stream.ask(
                    *self.login,
                    ("SENTINEL", "MASTER", self._name),
                    ("SENTINEL", "CKQUORUM", self._name),
                )
            finally:
                stream.close()
        for reply in (*greeting, told):
            if isinstance(reply, hiredis.ReplyError):
                raise ResponseError(str(reply))
        return read_answer(told, quorum)

    def ask_blocking(self, place: Place, deadline_s: float) -> Answer:
        """The same without an event loop. May raise what is in ``asking.FAILURES``."""
        # By its name where there is TLS: redis-py checks the certificate for what it connects to.
        [told] = ask(
            place.address if self.context is None else place.host, place.port,
            ("SENTINEL", "MASTER", self._name), deadline_s=deadline_s,
            username=self._username, password=self._password, **self._tls_options,
        )  # fmt: skip
        return read_answer(told)

    def nobody(self, errors: Sequence[Exception]) -> str:
        """That none of them says, for people."""
        why = reasons(errors, tls=self.context is not None)
        return f"no Sentinel says where {self._name} is: {why}"

    def never(self, words: str) -> str:
        """That none of them ever will, as they say in these words, for people."""
        if "No such master" in words:
            return f"{self._given_by}: its Sentinels know no primary that is called {self._name}"
        if "auth" in words.lower() or "pass" in words.lower():
            return (
                f"{self._given_by}: its Sentinels let nobody in like this (theirs are the options "
                f"sentinel_username and sentinel_password): {words}"
            )
        return (
            f"{self._given_by}: what it names are no Sentinels (for a single Redis write "
            f"redis://host): {words.strip()}"
        )
