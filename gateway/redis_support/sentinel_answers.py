"""What Sentinels answer, which of it counts, and what of it is told to whoever reads the log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import hiredis

from gateway.log import get_logger
from gateway.redis_support.stream import Endpoint, Place

log = get_logger(__name__)


class Answer(NamedTuple):
    """What one Sentinel says."""

    primary: Endpoint
    epoch: int  # of its configuration: rises with every failover
    promotes: bool | None = None  # enough Sentinels reach each other for it; None: it does not say


class SentinelLog:
    """Lines about Sentinels that answer, each once as long as it is so.

    Args:
        told_after_s: For so long some have to name another primary: after a switch each of them
            does, until it has heard of it.
    """

    def __init__(self, *, told_after_s: float) -> None:
        self._told_after_s = told_after_s
        self._overruled_since: float | None = None
        self._overruled_told = self._quorum_lost = False

    def look(
        self, answers: Mapping[Place, Answer], primary: Endpoint, *, quorum_lost: bool, now: float
    ) -> None:
        """See what was answered, and which primary it was decided for."""
        if quorum_lost != self._quorum_lost:
            self._quorum_lost = quorum_lost
            if quorum_lost:
                log.warning("sentinels have no quorum", sentinels=len(answers))
            else:
                log.info("sentinels have a quorum again", sentinels=len(answers))
        overruled = {place: said for place, said in answers.items() if said.primary != primary}
        if not overruled:
            if self._overruled_told:
                log.info("sentinels agree again", sentinels=len(answers))
            self._overruled_since, self._overruled_told = None, False
            return
        if self._overruled_since is None:
            self._overruled_since = now
        if not self._overruled_told and now - self._overruled_since >= self._told_after_s:
            self._overruled_told = True
            named = {f"{said.primary[0]}:{said.primary[1]}" for said in overruled.values()}
            log.warning(
                "sentinels overruled",
                overruled=sorted(f"{place.host}:{place.port}" for place in overruled),
                named=sorted(named),
                primary=f"{primary[0]}:{primary[1]}",
            )  # fmt: skip


def choose(answers: Sequence[Answer], known: Answer | None) -> Endpoint:
    """The primary of the newest configuration.

    Where those that have it name it differently, what most of them say; what is known, or else the
    first, decides between as many.
    """
    newest = max(answer.epoch for answer in answers)
    named = Counter(answer.primary for answer in answers if answer.epoch == newest)
    most = max(named.values())
    candidates = [primary for primary, count in named.items() if count == most]
    return known.primary if known and known.primary in candidates else candidates[0]


def read_answer(told: Any, quorum: object = None) -> Answer:
    """Take the replies to SENTINEL MASTER and, where it was asked, SENTINEL CKQUORUM apart.

    Raises:
        ValueError: It is none.
    """
    if isinstance(told, list):
        with suppress(KeyError, TypeError, ValueError, AttributeError):
            facts = dict(zip(told[::2], told[1::2], strict=False))
            host, port = facts[b"ip"].decode(), int(facts[b"port"])
            if host and 0 < port < 1 << 16:
                return Answer((host, port), int(facts[b"config-epoch"]), _promotes(quorum))
    raise ValueError("what it says of its primary cannot be read")


def _promotes(quorum: object) -> bool | None:
    if isinstance(quorum, hiredis.ReplyError):
        return False if str(quorum).startswith("NOQUORUM") else None
    return True if isinstance(quorum, bytes) and quorum.startswith(b"OK") else None
