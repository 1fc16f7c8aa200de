"""How connections to Redis are made anew: at random moments, and said once an outage."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.log import get_logger

log = get_logger(__name__)

NO_TLS: Final = " (rediss:// is TLS: does it speak that there?)"  # to a timeout
LONGEST_RECONNECT_DELAY_S: Final = 0.25


def reconnect_delay_s(attempt: int) -> float:
    """How long to wait before the attempt after this one. The first is number 1."""
    # Full jitter: after an outage all workers get here at once, and a fixed delay would only move
    # the stampede. At most a quarter of a second, because sockets wait for us.
    return random.uniform(0.0, min(LONGEST_RECONNECT_DELAY_S, 0.05 * 2.0 ** min(attempt, 10)))  # noqa: S311


def log_attempt(event: str, connection: str, attempt: int, error: Exception) -> None:
    """Say that a connection could not be made."""
    level = "warning" if attempt == 1 else "debug"  # once an outage, not once an attempt
    getattr(log, level)(event, connection=connection, attempt=attempt, error=str(error))


def log_loss(event: str, connection: str, where: str, *, again: bool) -> None:
    """Say that a connection was lost.

    Args:
        again: As soon as it was made, and it was lost before.
    """
    level = "debug" if again else "warning"  # once an outage
    getattr(log, level)(event, connection=connection, where=where)


def reasons(errors: Sequence[Exception], *, tls: bool = False) -> str:
    """Why several could not be reached, each reason once.

    Args:
        tls: It was tried with TLS, to which a server without it says nothing.
    """
    said = "; ".join(dict.fromkeys(str(error) or repr(error) for error in errors))
    return said + NO_TLS if tls and any(map(is_timeout, errors)) else said


def is_timeout(error: Exception) -> bool:
    """Nothing was said at all, as by who waits for the other to begin."""
    return isinstance(error, TimeoutError | RedisTimeoutError)
