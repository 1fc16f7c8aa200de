"""A handshake of the text endpoint shows a token, or is refused before it is accepted."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers

from gateway.edge.refusal import Refusal
from gateway.errors import TokenExpired, TokenInvalid, TokenKeysUnavailable
from gateway.log import get_logger
from gateway.protocol.token_claims import ConnectionClaims
from gateway.tokens.verifier import TokenVerifier

log = get_logger(__name__)

NO_TOKEN: Final = Refusal(HTTPStatus.UNAUTHORIZED, "token", "a valid token is needed")
TOKEN_EXPIRED: Final = Refusal(HTTPStatus.UNAUTHORIZED, "token_expired", "the token has expired")
NO_TOKEN_KEYS: Final = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "token_keys", "tokens cannot be checked now, try again", 5
)
_MAX_PARAMETERS: Final = 100


class TokenGuard:
    """Lets in whoever shows a valid connection token."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def check(self, headers: Headers, query: str) -> ConnectionClaims | Refusal:
        """What the token of a handshake says, or why it is not let in."""
        token = _token(headers, query)
        if token is None:
            return NO_TOKEN
        try:
            return await self._verifier.verify_connection(token)
        except TokenExpired:
            return TOKEN_EXPIRED
        except TokenInvalid as error:
            log.debug("token refused", why=str(error))
            return NO_TOKEN
        except TokenKeysUnavailable:
            return NO_TOKEN_KEYS


def _token(headers: Headers, query: str) -> str | None:
    """That of the header goes first. Of several none is taken: who sent which is not known."""
    given = [
        words.strip()
        for value in headers.getlist("authorization")
        for scheme, _, words in (value.partition(" "),)
        if scheme.lower() == "bearer"
    ]
    if not given:
        try:
            given = parse_qs(query, max_num_fields=_MAX_PARAMETERS).get("token", [])
        except ValueError:
            return None
    return given[0] if len(given) == 1 else None
