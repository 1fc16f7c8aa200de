"""Who a client of the Centrifuge protocol is: its tokens, on ``connect`` and ``refresh``."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec

from gateway.close_codes import BAD_REQUEST, EXPIRED, INSUFFICIENT_STATE, INVALID_TOKEN, Close
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.errors import TokenExpired, TokenInvalid, TokenKeysUnavailable
from gateway.log import get_logger
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import Connect, Refresh
from gateway.protocol.centrifuge.refusals import connect_refusal
from gateway.protocol.centrifuge.replies import ConnectResult, RefreshResult
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.envelopes.dispatching import Presented
from gateway.protocol.token_claims import ConnectionClaims
from gateway.tokens.verifier import TokenVerifier

log = get_logger(__name__)

_NOT_LET_IN: Final = (
    "no token, and anonymous clients are not let in (GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN)"
)


class Authenticates(Protocol):
    """Says who is let in, and who may stay."""

    async def connect(
        self, session: CentrifugeSession, connection: OpenConnection, request: Connect
    ) -> Answer: ...

    async def refresh(
        self, session: CentrifugeSession, connection: OpenConnection, request: Refresh
    ) -> Answer: ...


class Authentication:
    """The answers to ``connect`` and ``refresh``.

    Args:
        allow_anonymous: Whoever shows no token is let in, without a user. Whom the application has
            let in by ``on_connect`` needs none in any case.
    """

    def __init__(self, verifier: TokenVerifier, *, allow_anonymous: bool) -> None:
        self._verifier = verifier
        self._allow_anonymous = allow_anonymous

    async def connect(
        self, session: CentrifugeSession, connection: OpenConnection, request: Connect
    ) -> Answer:
        """Let a client in, or not. A token may not contradict what ``on_connect`` has said."""
        data = bytes(request.data)
        refused = connect_refusal(request)
        if refused is not None or not _readable(data):
            return refused or codes.BAD_REQUEST
        if not request.token:
            if not (connection.admitted or self._allow_anonymous):
                log.debug("client refused", connection_id=connection.id, why=_NOT_LET_IN)
                return BAD_REQUEST
            return _let_in(session, connection, ConnectionClaims(user=connection.user or ""), data)
        claims = await self._claims(connection, request.token, expired=codes.TOKEN_EXPIRED)
        if not isinstance(claims, ConnectionClaims):
            return claims
        if connection.user not in (None, claims.user):
            return _invalid(connection, "of another user than on_connect has said")
        session.claims = claims
        return _let_in(session, connection, claims, data)

    async def refresh(
        self, session: CentrifugeSession, connection: OpenConnection, request: Refresh
    ) -> Answer:
        """Let a client stay that came with a token, for as long as a new one says."""
        if session.claims is None or not request.token:
            return BAD_REQUEST
        claims = await self._claims(connection, request.token, expired=EXPIRED)
        if not isinstance(claims, ConnectionClaims):
            return claims
        if claims.user != session.claims.user:
            return _invalid(connection, "of another user than before")
        if _channels(claims) != _channels(session.claims):
            return INSUFFICIENT_STATE  # it comes back, and gets the others
        session.claims = claims
        return RefreshResult(ttl=claims.ttl_s)

    async def _claims(
        self, connection: OpenConnection, token: str, *, expired: Error | Close
    ) -> ConnectionClaims | Error | Close:
        """What a token says, or what to answer instead."""
        try:
            return await self._verifier.verify_connection(token)
        except TokenExpired:
            return expired
        except TokenInvalid as error:
            return _invalid(connection, error)
        except TokenKeysUnavailable:
            return codes.INTERNAL  # temporary: the client tries again


def _let_in(
    session: CentrifugeSession, connection: OpenConnection, claims: ConnectionClaims, data: bytes
) -> ConnectResult:
    """Handlers are told who it is and what it shows."""
    presented = Presented(claims.info, claims.meta, data)
    new = claims.user != (connection.user or "") or any(presented)
    if new and session.connection is connection:  # it may have ended meanwhile
        connection.identify(claims.user or None, presented)
    return ConnectResult(ttl=claims.ttl_s)


def _readable(json: bytes) -> bool:
    """Whether handlers can be given its value. It may be nested too deeply, for instance."""
    try:
        if json:
            msgspec.json.decode(json)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _channels(claims: ConnectionClaims) -> frozenset[str]:
    return frozenset(claims.channels) | claims.subs.keys()


def _invalid(connection: OpenConnection, why: object) -> Close:
    log.debug("token refused", connection_id=connection.id, why=str(why))
    return INVALID_TOKEN
