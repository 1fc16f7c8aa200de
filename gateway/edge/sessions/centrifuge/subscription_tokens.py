"""What the tokens of ``subscribe`` and ``sub_refresh`` say."""

from __future__ import annotations

from gateway.close_codes import INVALID_TOKEN, Close
from gateway.edge.sessions.base import OpenConnection
from gateway.errors import TokenExpired, TokenForAnother, TokenInvalid, TokenKeysUnavailable
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import SubRefresh
from gateway.protocol.centrifuge.replies import SubRefreshResult
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.token_claims import SubscriptionClaims
from gateway.tokens.verifier import TokenVerifier


class SubscriptionTokens:
    """Those of the clients of one worker."""

    def __init__(self, verifier: TokenVerifier) -> None:
        self._verifier = verifier

    async def refresh(self, connection: OpenConnection, request: SubRefresh) -> Answer:
        """Let a subscription last that was made with a token, as long as a new one says."""
        claims = await self.claims(connection, request.channel, request.token)
        if isinstance(claims, SubscriptionClaims):
            return SubRefreshResult(ttl=claims.ttl_s)
        # Who was let in by a token and shows a bad one is no client that only may not do this.
        return INVALID_TOKEN if claims is codes.PERMISSION_DENIED else claims

    async def claims(
        self, connection: OpenConnection, channel: str, token: str
    ) -> SubscriptionClaims | Error | Close:
        """What a token says, or what to answer instead."""
        try:
            return await self._verifier.verify_subscription(
                token, channel=channel, user=connection.user or "", client=connection.id
            )
        except TokenExpired:
            return codes.TOKEN_EXPIRED
        except TokenForAnother:
            return INVALID_TOKEN
        except TokenInvalid:
            return codes.PERMISSION_DENIED
        except TokenKeysUnavailable:
            return codes.INTERNAL
