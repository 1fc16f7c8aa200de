"""What tokens and hooks say of a subscription beyond that it may be. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from gateway.protocol.token_claims import SubscriptionClaims
from gateway.settings.namespaces import ChannelOptions


@dataclass(frozen=True, slots=True)
class GrantedSubscription:
    """What a token or a hook says of one subscription.

    Attributes:
        info: What others are shown of it, JSON or empty.
        data: What the client is told, JSON or empty.
        override: Options of its channel that are otherwise here.
        ttl_s: For how long, if the client is to refresh it; 0 is for ever.
        expires_unix_s: When it ends, if it cannot.
        by_hook: A hook has let it in.
        claims: All that its token says, for hooks: a JSON object, or empty.
    """

    info: bytes = b""
    data: bytes = b""
    override: Mapping[str, bool] = field(default_factory=dict)
    ttl_s: int = 0
    expires_unix_s: float | None = None
    by_hook: bool = False
    claims: bytes = b""

    def options(self, options: ChannelOptions) -> ChannelOptions:
        overridden: dict[str, Any] = dict(self.override)
        return replace(options, **overridden)


NO_GRANT: Final = GrantedSubscription()


def of_claims(claims: SubscriptionClaims) -> GrantedSubscription:
    return GrantedSubscription(
        claims.info, claims.data, claims.override, claims.ttl_s, claims=claims.payload
    )


def by_server(claims: SubscriptionClaims) -> GrantedSubscription:
    """What a connection's token says of a subscription, which never expires by itself."""
    return replace(of_claims(claims), ttl_s=0)
