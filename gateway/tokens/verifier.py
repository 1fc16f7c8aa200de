"""Whether a token is believed, and what it says then."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.errors import TokenInvalid
from gateway.protocol.token_claims import (
    ConnectionClaims,
    SubscriptionClaims,
    connection_claims,
    subscription_claims,
)
from gateway.protocol.token_validity import ClaimRules
from gateway.settings.tokens import TokenOptions
from gateway.tokens.keys import Keys, operators_keys
from gateway.tokens.signature import parts_of, prepare


class TokenVerifier:
    """Checks tokens of clients.

    Every call may wait for a key, for a bounded time, and does so only for a key that was not seen
    before. Cancelling one disturbs no other. A token is a text of any content and length.

    Args:
        of_connections: The keys and rules for connection tokens.
        of_subscriptions: The same for subscription tokens; often the same ones.
        clock: Unix seconds.
    """

    def __init__(
        self,
        of_connections: tuple[Keys, ClaimRules],
        of_subscriptions: tuple[Keys, ClaimRules],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._of_connections = of_connections
        self._of_subscriptions = of_subscriptions
        self._clock = clock

    async def verify_connection(self, token: str) -> ConnectionClaims:
        """What the token of a ``connect``, a ``refresh`` or a handshake says.

        Raises:
            TokenExpired: By more than the leeway.
            TokenInvalid: Anything else is wrong with it.
            TokenKeysUnavailable: Nobody can know now.
        """
        keys, rules = self._of_connections
        payload = await _believed(token, keys)
        return connection_claims(payload, rules, now=self._clock())

    async def verify_subscription(
        self, token: str, *, channel: str, user: str, client: str
    ) -> SubscriptionClaims:
        """What the token of a ``subscribe`` or a ``sub_refresh`` says.

        Args:
            user: Of the connection; empty for an anonymous one.
            client: The connection's id.

        Raises:
            TokenExpired: By more than the leeway.
            TokenForAnother: It is valid for another channel, user or client.
            TokenInvalid: Anything else is wrong with it.
            TokenKeysUnavailable: Nobody can know now.
        """
        keys, rules = self._of_subscriptions
        payload = await _believed(token, keys)
        return subscription_claims(
            payload, rules, channel=channel, user=user, client=client, now=self._clock()
        )


def token_verifier(of_connections: TokenOptions, of_subscriptions: TokenOptions) -> TokenVerifier:
    """The verifier of these options. Where they have no keys no token is valid.

    Raises:
        ConfigError: A key is none.
    """
    if of_connections.has_keys or of_subscriptions.has_keys:
        prepare()
    return TokenVerifier(_set_up(of_connections), _set_up(of_subscriptions))


def _set_up(options: TokenOptions) -> tuple[Keys, ClaimRules]:
    rules = ClaimRules(
        leeway_s=options.leeway_s,
        audience=options.audience,
        issuer=options.issuer,
        user_id_claim=options.user_id_claim,
    )
    return operators_keys(options), rules


async def _believed(token: str, keys: Keys) -> bytes:
    """The payload of a token that one of the keys has signed."""
    signed = parts_of(token)
    candidates = await keys.candidates(signed.header)
    if not candidates:
        raise TokenInvalid("no key for it")
    if not any(signed.check(key) for key in candidates):
        raise TokenInvalid("its signature")
    return signed.payload
