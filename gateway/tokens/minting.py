"""Tokens for trying out, signed with the secret of the settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.errors import ConfigError
from gateway.settings.tokens import TokenOptions


def claims_of(
    options: TokenOptions,
    *,
    user: str,
    now: int,
    ttl_s: int | None,
    channel: str | None = None,
    info: Any = None,
    channels: Sequence[str] = (),
) -> dict[str, Any]:
    """Claims that the verifier of these options takes.

    Args:
        ttl_s: None is for ever.
        channel: Makes it a subscription token, for this channel.
        channels: To subscribe the client to; of a connection token only.
    """
    claims: dict[str, Any] = {options.user_id_claim: user, "iat": now}
    if ttl_s is not None:
        claims["exp"] = now + ttl_s
    optional = {
        "aud": options.audience,
        "iss": options.issuer,
        "channel": channel,
        "info": info,
        "channels": list(channels),
    }
    return claims | {name: value for name, value in optional.items() if value not in (None, "", [])}


def mint(options: TokenOptions, claims: dict[str, Any]) -> str:
    """A token with these claims, HS256.

    Raises:
        ConfigError: There is no secret to sign it with.
    """
    if not options.hmac_secret_key:
        raise ConfigError(
            f"there is no {options.place}.hmac_secret_key to sign a token with; for private keys "
            "take what issues your tokens"
        )
    import jwt  # noqa: PLC0415 (costs tools their start)

    return jwt.encode(claims, options.hmac_secret_key.reveal(), algorithm="HS256")
