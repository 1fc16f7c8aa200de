"""Tokens as somebody who is believed, or is not, would make them."""

from __future__ import annotations

import base64
import json
import math
import time
from typing import Any

import jwt

SECRET = "a-secret-of-this-test-suite-and-of-nobody-else-that-is-64-bytes-"
OTHER_SECRET = "another-secret-of-this-test-suite-that-is-as-long-as-the-first--"


def token(
    claims: dict[str, Any],
    key: Any = SECRET,
    algorithm: str = "HS256",
    *,
    kid: str | None = None,
    header: dict[str, Any] | None = None,
) -> str:
    """A token with these claims."""
    return signed(json.dumps(claims).encode(), key, algorithm, kid=kid, header=header)


def signed(
    payload: bytes,
    key: Any = SECRET,
    algorithm: str = "HS256",
    *,
    kid: str | None = None,
    header: dict[str, Any] | None = None,
) -> str:
    """A token with this payload, whatever it is."""
    headers = (header or {}) | ({"kid": kid} if kid is not None else {})
    return jwt.PyJWS().encode(payload, key, algorithm, headers=headers)


def is_left_of(ttl: int, seconds: float, *, since_unix_s: float) -> bool:
    """Whether so much was left of so many seconds at some moment between then and now."""
    return math.ceil(since_unix_s + seconds - time.time()) <= ttl <= math.ceil(seconds)


def b64(raw: bytes) -> str:
    """As the parts of tokens are."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
