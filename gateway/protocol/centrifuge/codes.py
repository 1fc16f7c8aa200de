"""The codes inside of messages: of errors, and of subscriptions that end.

Those with which whole connections end are rows of ``gateway.close_codes``.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec


class Error(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a command was not done. The connection stays.

    Applications choose codes from 400 to 1999. A client tries again by itself after what is
    ``temporary``, and after 109 with a new token.
    """

    code: int
    message: str  # SDKs fail without it
    temporary: bool = False


INTERNAL: Final = Error(100, "internal server error", temporary=True)
UNAUTHORIZED: Final = Error(101, "unauthorized")
UNKNOWN_CHANNEL: Final = Error(102, "unknown channel")
PERMISSION_DENIED: Final = Error(103, "permission denied")
METHOD_NOT_FOUND: Final = Error(104, "method not found")
ALREADY_SUBSCRIBED: Final = Error(105, "already subscribed")
LIMIT_EXCEEDED: Final = Error(106, "limit exceeded")
BAD_REQUEST: Final = Error(107, "bad request")
NOT_AVAILABLE: Final = Error(108, "not available")
TOKEN_EXPIRED: Final = Error(109, "token expired")
EXPIRED: Final = Error(110, "expired")
TOO_MANY_REQUESTS: Final = Error(111, "too many requests", temporary=True)
UNRECOVERABLE_POSITION: Final = Error(112, "unrecoverable position")
CONCURRENT_PAGINATION: Final = Error(113, "concurrent pagination", temporary=True)

EVERY_ERROR: Final = tuple(row for row in list(vars().values()) if isinstance(row, Error))


class Unsubscribed(NamedTuple):
    """Why the server ended a subscription. From 2500 on the client subscribes again by itself.

    Applications choose codes from 2100 to 2499 and from 2600 to 2999.
    """

    code: int
    reason: str


BY_SERVER: Final = Unsubscribed(2000, "server unsubscribe")
INSUFFICIENT_STATE: Final = Unsubscribed(2500, "insufficient state")
SUBSCRIPTION_EXPIRED: Final = Unsubscribed(2501, "subscription expired")
STATE_INVALIDATED: Final = Unsubscribed(2502, "state invalidated")

EVERY_UNSUBSCRIBED: Final = tuple(
    row for row in list(vars().values()) if isinstance(row, Unsubscribed)
)
