"""With which codes and reasons connections end: each pair that the gateway sends or counts is here.

After 3000-3499 and 4000-4499 a client shall connect again, after 3500-3999 and 4500-4999 it shall
not: the ranges of the Centrifuge protocol. Applications choose codes of their own
(``gateway.errors.check_close``). ``docs/reference/close-codes.md`` says of each when it comes.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Close(NamedTuple):
    """A close code (RFC 6455 section 7.4), and the reason that goes with it.

    ``reason`` is empty where it differs: whoever closes says what was wrong.
    """

    code: int
    reason: str = ""


# RFC 6455's
NORMAL: Final = Close(1000, "Bye!!!")
PROTOCOL_ERROR: Final = Close(1002)
NO_BINARY: Final = Close(1003, "text messages only")
NO_CODE: Final = Close(1005)  # what a close without a code counts as; never sent
LOST: Final = Close(1006)  # there was no close; never sent
INVALID_TEXT: Final = Close(1007, "invalid UTF-8")
TOO_BIG: Final = Close(1009, "over N bytes")
INTERNAL_ERROR: Final = Close(1011, "internal error")
HANDLER_FAILED: Final = Close(1011, "handler failed")
RESTART: Final = Close(1012, "service restart")

# Connect again
DRAINED: Final = Close(3001, "drain")
BROKER_AWAY: Final = Close(3004, "broker unavailable")
EXPIRED: Final = Close(3005, "connection expired")
SUBSCRIPTION_EXPIRED: Final = Close(3006, "subscription expired")
SLOW: Final = Close(3008, "slow")
INSUFFICIENT_STATE: Final = Close(3010, "insufficient state")
NO_PONG: Final = Close(3012, "no pong")
TOO_MANY_MESSAGES: Final = Close(3013, "message rate exceeded")
TOO_MANY_FRAMES: Final = Close(3013, "frame rate exceeded")

# Stay away
INVALID_TOKEN: Final = Close(3500, "invalid token")
BAD_REQUEST: Final = Close(3501, "bad request")
STALE: Final = Close(3502, "stale")
DISCONNECTED: Final = Close(3503, "disconnected")
CHANNEL_LIMIT: Final = Close(3505, "channel limit")
INAPPROPRIATE_PROTOCOL: Final = Close(3506, "inappropriate protocol")
NOT_AVAILABLE: Final = Close(3508, "not available")

EVERY: Final = tuple(row for row in list(vars().values()) if isinstance(row, Close))


def too_big(limit_bytes: int) -> Close:
    """``TOO_BIG`` with the number."""
    return TOO_BIG._replace(reason=f"over {limit_bytes} bytes")
