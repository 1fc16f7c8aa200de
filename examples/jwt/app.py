"""Sockets for those who bring a signed token (RFC 7519), for as long as it is good."""

from __future__ import annotations

import os
from urllib.parse import parse_qs

import jwt

from gateway import Admit, Connection, Gateway, Message, Refused

SECRET = os.environ.get("SECRET", "only for trying it out, 32 bytes or more")
AUDIENCE = "chat"
EXPIRED = 4401  # up to 4499: come back, with a new token
NOT_YOURS = 4501  # from 4500 on: stay away

gateway = Gateway()


@gateway.on_connect
async def who_is_it(connection: Connection) -> Admit:
    try:
        # The algorithms are ours to choose, never the token's.
        claims = jwt.decode(
            token_of(connection),
            SECRET,
            algorithms=["HS256"],
            audience=AUDIENCE,
            options={"require": ["sub", "exp", "aud"]},
        )
    except jwt.ExpiredSignatureError:
        raise Refused(EXPIRED, "token expired") from None
    except jwt.InvalidTokenError:
        raise Refused(NOT_YOURS, "no valid token") from None
    return Admit(claims["sub"], expires_at=claims["exp"])


def token_of(connection: Connection) -> str:
    """From the header, or for browsers, which cannot set it, from the query; else empty."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token
    return parse_qs(connection.query).get("token", [""])[0]


@gateway.on_message
async def answer(message: Message) -> str:
    return f"{message.connection.user} says {message.text}"
