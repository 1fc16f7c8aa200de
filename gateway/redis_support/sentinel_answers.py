"""What Sentinels answer, and which of it counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import hiredis

from gateway.redis_support.stream import Endpoint


class Answer(NamedTuple):
    """What one Sentinel says."""

    primary: Endpoint
    epoch: int  # of its configuration: rises with every failover
    promotes: bool | None = None  # enough Sentinels reach each other for it; None: it does not say


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
