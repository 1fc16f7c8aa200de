"""When a token is good: for whom, by whom, from when and until when it is valid.

Times are Unix seconds. Whoever issues tokens may have another clock: ``leeway_s`` is how far apart
the two may be. Pure. The claims are those of RFC 7519, and Centrifugo's ``expire_at``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.errors import TokenExpired, TokenInvalid

LATEST_UNIX_S: Final = 253402300799.0  # the end of the year 9999

_Time = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """What is asked of a token beside its signature.

    Attributes:
        leeway_s: How far the issuer's clock may be from ours.
        audience: What ``aud`` must have; empty asks for nothing.
        issuer: What ``iss`` must be; empty asks for nothing.
        user_id_claim: Which claim says who it is; a token without it is an anonymous client's.
    """

    leeway_s: float = 60.0
    audience: str = ""
    issuer: str = ""
    user_id_claim: str = "sub"


class ValidityClaims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims that say so; each may be missing."""

    exp: _Time = None
    nbf: _Time = None
    iat: _Time = None
    jti: str | None = None
    iss: str | None = None
    aud: str | list[str] | None = None
    expire_at: _Time = None


def check(claims: ValidityClaims, rules: ClaimRules, now: float) -> None:
    """That it is for us, and is valid by now; ``end_of`` says whether it is still.

    Raises:
        TokenInvalid: It is not.
    """
    if rules.audience:
        audience = [claims.aud] if isinstance(claims.aud, str) else claims.aud or []
        if rules.audience not in audience:
            raise TokenInvalid("for another audience")
    if rules.issuer and claims.iss != rules.issuer:
        raise TokenInvalid("of another issuer")
    for at in (claims.exp, claims.nbf, claims.iat, claims.expire_at):
        if at is not None and not 0 <= at <= LATEST_UNIX_S:
            raise TokenInvalid("a time that is none")
    if claims.nbf is not None and now < claims.nbf - rules.leeway_s:
        raise TokenInvalid("not valid yet")


def end_of(claims: ValidityClaims, rules: ClaimRules, now: float) -> float | None:
    """Until when what is opened with this token lasts, by our clock.

    Raises:
        TokenExpired: It is over.
    """
    if claims.exp is not None and now >= claims.exp + rules.leeway_s:
        raise TokenExpired("expired")
    end = claims.exp if claims.expire_at is None else claims.expire_at
    if end is None or claims.expire_at == 0:
        return None
    if now >= end + rules.leeway_s:
        raise TokenExpired("expired")
    # By our clock it may be over already. What ends at once would come back at once, for as long
    # as the clocks differ by more than the issuer's tokens last.
    return end if end > now else end + rules.leeway_s


def ttl_s(end: float | None, now: float) -> int:
    """Whole seconds from now, at least 1; 0 is for ever."""
    return 0 if end is None else max(1, math.ceil(end - now))
