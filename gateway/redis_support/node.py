"""What those who use one Redis node tell each other: that it refuses, and that it is the wrong one.

A worker has several connections to it, of two kinds (ADR 2), and each learns only of what it asks
for itself: pub/sub goes on at a primary that was demoted, where every write is refused.
"""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.redis_support.slots import is_redirect
from gateway.redis_support.stream import Endpoint

log = get_logger(__name__)

MOVED: Final = "moved"
KINDS: Final = (
    MOVED, "memory", "wrongtype", "permission", "script", "busy", "storage", "garbage", "other",
)  # fmt: skip
AGAIN_S: Final = 60.0  # between two log lines about one kind and command
MOVE_PAUSE_S: Final = 2.0

# By the first word of what Redis says; https://redis.io/docs/latest/develop/reference/protocol-spec
_WORDS: Final = {
    "READONLY": MOVED, "LOADING": MOVED, "MASTERDOWN": MOVED, "NOREPLICAS": MOVED,
    "OOM": "memory", "WRONGTYPE": "wrongtype", "BUSY": "busy", "UNKILLABLE": "busy",
    "NOPERM": "permission", "NOAUTH": "permission", "WRONGPASS": "permission",
    "MISCONF": "storage",
    "MOVED": MOVED, "ASK": MOVED, "TRYAGAIN": MOVED, "CLUSTERDOWN": MOVED,
}  # fmt: skip
_IN_VAIN: Final = "in vain"
_NO_NEWS: Final = ("NOSCRIPT", "EXECABORT")  # answered by loading it; said before
# Redis 6 quotes what a command inside of a script was told; EXEC what it was told itself.
_QUOTED: Final = re.compile(rf"(?:-|: )({'|'.join(_WORDS)}) ")
# What a script may not do is told in other words than what a user may not (Redis 7, script.c).
_NOT_ALLOWED: Final = re.compile(r"can't (run this command|access)|cannot (run|access)")
_UNKNOWN: Final = re.compile(r"[Uu]nknown (Redis )?command")


def kind_of(words: str) -> str | None:
    """What an error of Redis is about, one of ``KINDS``; None when it is part of the normal course.

    Args:
        words: As Redis said them, with the code that begins them.
    """
    code = words.partition(" ")[0]
    if code in _NO_NEWS:
        return None
    if code in _WORDS:
        return _WORDS[code]
    if (quoted := _QUOTED.search(words)) is not None:
        return _WORDS[quoted[1]]
    if _NOT_ALLOWED.search(words):
        return "permission"
    return "script" if _UNKNOWN.search(words) or "script" in words else "other"


def is_of_all(words: str) -> bool:
    """Whether it refuses whatever this connection asks for, and not one key or channel."""
    return kind_of(words) == MOVED or words.startswith("NOAUTH")


def subject(command: Sequence[Any]) -> str:
    """A command and the keys or the channel it is about, for people. Nothing of its values."""
    words = [_text(word) for word in command[:12]]
    name = words[0].upper()
    if name in ("EVAL", "EVALSHA") and len(words) > 2 and words[2].isdecimal():
        return " ".join([name, *words[3 : 3 + int(words[2])]])
    if name in ("AUTH", "HELLO"):
        return name
    if name in ("SUBSCRIBE", "HMGET", "DEL"):
        return " ".join(words[:4] if name != "HMGET" else words[:2])
    return " ".join(words[:2])


def _text(word: Any) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def check_server(hello: Any, *, cluster: bool = False) -> None:
    """See in the reply to HELLO that this is a primary, no Sentinel, and of a Cluster if asked.

    What it does not say is believed to be right. Raises BrokerUnavailable.
    """
    told = role_of(hello)
    if told.get("mode") == "sentinel":
        raise BrokerUnavailable("is a Sentinel: write redis+sentinel://host,host/primary")
    if told.get("mode") == "cluster" and not cluster:
        raise BrokerUnavailable("is a node of a Cluster: write redis+cluster://host,host")
    if cluster and told.get("mode") not in (None, "cluster"):
        raise BrokerUnavailable("is no node of a Cluster: write redis://host")
    if told.get("role") not in (None, "master"):
        raise BrokerUnavailable("is a replica, which takes no writes: give its primary")


def role_of(hello: Any) -> dict[str, str]:
    """``mode`` and ``role`` of a reply to HELLO, RESP2 or 3; less when it is no such reply."""
    if isinstance(hello, list):
        hello = dict(zip(map(_text, hello[::2]), hello[1::2], strict=False))
    if not isinstance(hello, dict):
        return {}
    told = {_text(name): _text(value) for name, value in hello.items()}
    return {name: told[name] for name in ("mode", "role") if name in told}


class Node:
    """One Redis node, as all connections of one worker see it.

    Attributes:
        epoch: Rises whenever all connections must be made anew.
        count: Told the kind of every error.
        redirected: Told what a node of a Cluster said of where, or when, to do it instead; and who
            that was, where it is known.
        where: Says which of several nodes this is, for people; None where there is one.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        # Of what was said: when, and how often it was not since. By kind and command.
        self._said: dict[tuple[str, str], tuple[float, int]] = {}
        self._moved_at: float | None = None
        self._drops: list[Callable[[], None]] = []
        self._deadlines: set[asyncio.Timeout] = set()
        self.epoch = 0
        self.count: Callable[[str], None] = lambda _kind: None
        self.redirected: Callable[[str, Endpoint | None], None] = lambda _words, _asked: None
        self.where: Callable[[], str] | None = None

    def when_moved(self, drop: Callable[[], None]) -> None:
        """Call ``drop`` when every connection must be given up. It is called at any moment."""
        self._drops.append(drop)

    @contextmanager
    def until_moved(self, deadline: asyncio.Timeout) -> Iterator[None]:
        """A connection is being made, and is given up with all others: ``deadline`` passes then.

        A host that is gone answers nothing, and would be waited for while another is known.
        """
        self._deadlines.add(deadline)
        try:
            yield
        finally:
            self._deadlines.discard(deadline)

    def refused(self, words: str, about: str, asked: Endpoint | None = None) -> None:
        """Redis answered with an error. Counted, said, and acted upon if this is the wrong node."""
        if is_redirect(words):
            self.count(MOVED)
            self.redirected(words, asked)
            return
        kind = kind_of(words)
        if kind is None:
            return
        self.count(kind)
        self._say(kind, words, about)
        if kind == MOVED:
            self._move()

    def in_vain(self, words: str, about: str) -> None:
        """Given up: who was asked has said all the time that it is to be done elsewhere, or later.

        Args:
            about: What was to be done, and with which key or channel.
        """
        self._say(_IN_VAIN, words, about)

    def garbage(self, what: str, about: str) -> None:
        """It answered with what is no answer, or keeps what is none of ours."""
        self.count("garbage")
        self._say("garbage", what, about)

    def check(self, hello: Any) -> None:
        """Act on what it says of itself now."""
        if role_of(hello).get("role") not in (None, "master"):
            self.refused("READONLY it is a replica now", "HELLO")

    def switched(self, _: object = None) -> None:
        """Sentinels name another one: whatever is connected is connected to the one of before."""
        self.count(MOVED)
        self._drop_all()

    def _move(self) -> None:
        # Where the address still names the same node it is no use to try again at once; and one
        # that refuses writes for want of replicas still carries messages between workers.
        now = self._now()
        if self._moved_at is not None and now - self._moved_at < MOVE_PAUSE_S:
            return
        self._drop_all()

    def _drop_all(self) -> None:
        self._moved_at = self._now()
        self.epoch += 1
        for drop in self._drops:
            drop()
        while self._deadlines:
            deadline = self._deadlines.pop()
            if not deadline.expired():
                deadline.reschedule(asyncio.get_running_loop().time())

    def _say(self, kind: str, words: str, about: str) -> None:
        now = self._now()
        what = (kind, about.partition(" ")[0])
        said_at, unsaid = self._said.get(what, (-math.inf, 0))
        if now - said_at < AGAIN_S:
            self._said[what] = (said_at, unsaid + 1)
            return
        self._said[what] = (now, 0)
        facts: dict[str, Any] = {
            "error": words[:500], "command": about[:500], "unsaid": unsaid,
            **({} if self.where is None else {"where": self.where()}),
        }  # fmt: skip
        if kind == MOVED:
            log.warning("redis has moved: all connections are made anew", **facts)
        elif kind == _IN_VAIN:
            log.warning("no redis master takes it", **facts)
        else:
            log.error("redis refuses", kind=kind, **facts)
