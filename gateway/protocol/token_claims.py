"""What a token says, once its signature has been checked: claims by the names of Centrifugo.

When it may be believed is said in ``token_validity``. Pure.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

import msgspec

from gateway.errors import BadChannel, TokenForAnother, TokenInvalid
from gateway.protocol import channel_names
from gateway.protocol.centrifuge.replies import NotJson, storable
from gateway.protocol.token_validity import ClaimRules, ValidityClaims, check, end_of, ttl_s

MAX_USER_BYTES: Final = 256  # it is stored beside each of the user's connections

_NO_RAW: Final = msgspec.Raw()


class _Switch(msgspec.Struct, frozen=True):
    value: bool = False


class Override(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the channel that are otherwise for this subscription; None leaves one as it is.

    Each is ``true``, ``false`` or, as Centrifugo has it, ``{"value": true}``.
    """

    presence: _Switch | bool | None = None
    join_leave: _Switch | bool | None = None
    force_push_join_leave: _Switch | bool | None = None
    force_recovery: _Switch | bool | None = None
    force_positioning: _Switch | bool | None = None

    def chosen(self) -> dict[str, bool]:
        """Each option that is not left as it is."""
        found = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return {
            name: given.value if isinstance(given, _Switch) else given
            for name, given in found
            if given is not None
        }


_NO_OVERRIDE: Final = Override()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionClaims:
    """What a token says of one subscription.

    Attributes:
        info: ``chan_info``, ``embeddable`` JSON; empty for none.
        data: For the reply of the subscription, ``embeddable`` JSON; empty for none.
        override: Options of its channel that are otherwise here, by name.
        expires_at: Until when it lasts, by our clock; None is for ever.
        ttl_s: The same in whole seconds from now, at least 1; 0 is for ever.
        payload: Of a token of its own, all that it says: a JSON object, or empty.
    """

    info: bytes = b""
    data: bytes = b""
    override: Mapping[str, bool] = field(default_factory=dict)
    expires_at: float | None = None
    ttl_s: int = 0
    payload: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionClaims:
    """What a token says of a client.

    Attributes:
        user: Who it is; empty for an anonymous client.
        expires_at: Until when it lasts, by our clock; None is for ever.
        ttl_s: The same in whole seconds from now, at least 1; 0 is for ever.
        info: ``conn_info``, ``embeddable`` JSON; empty for none.
        channels: To subscribe it to.
        subs: To subscribe it to, with what is to be known of each. Never expire.
        meta: JSON that is for the application only; empty for none.
    """

    user: str = ""
    expires_at: float | None = None
    ttl_s: int = 0
    info: bytes = b""
    channels: tuple[str, ...] = ()
    subs: Mapping[str, SubscriptionClaims] = field(default_factory=dict)
    meta: bytes = b""


_Kind = TypeVar("_Kind")


class _Sub(msgspec.Struct, frozen=True, kw_only=True):
    info: msgspec.Raw = _NO_RAW
    b64info: str | None = None
    data: msgspec.Raw = _NO_RAW
    b64data: str | None = None
    override: Override | None = None


class _OfConnection(ValidityClaims, frozen=True, kw_only=True):
    info: msgspec.Raw = _NO_RAW
    b64info: str | None = None
    channel: msgspec.Raw = _NO_RAW
    channels: list[str] | None = None
    subs: dict[str, _Sub] | None = None
    meta: msgspec.Raw = _NO_RAW


class _OfSubscription(ValidityClaims, frozen=True, kw_only=True):
    channel: str
    info: msgspec.Raw = _NO_RAW
    b64info: str | None = None
    client: str | None = None
    data: msgspec.Raw = _NO_RAW
    b64data: str | None = None
    override: Override | None = None


def connection_claims(payload: bytes, rules: ClaimRules, *, now: float) -> ConnectionClaims:
    """The claims of a connection token.

    Args:
        payload: Whose signature has been checked.
        now: Unix seconds.

    Raises:
        TokenExpired: By more than the leeway.
        TokenInvalid: Anything else is wrong with it.
    """
    claims = _decoded(payload, _OfConnection)
    check(claims, rules, now)
    if _json(claims.channel, None):
        raise TokenInvalid("a subscription token, where a connection token is due")
    meta = _json(claims.meta, None)
    if meta and meta[:1] != b"{":
        raise TokenInvalid("meta is no object")
    expires_at = end_of(claims, rules, now)
    return ConnectionClaims(
        user=_user(payload, rules.user_id_claim),
        expires_at=expires_at,
        ttl_s=ttl_s(expires_at, now),
        info=_json(claims.info, claims.b64info),
        channels=tuple(_channel(name) for name in claims.channels or ()),
        subs={
            _channel(name): _subscription(sub, None, now)
            for name, sub in (claims.subs or {}).items()
        },
        meta=meta,
    )


def subscription_claims(
    payload: bytes, rules: ClaimRules, *, channel: str, user: str, client: str, now: float
) -> SubscriptionClaims:
    """The claims of a subscription token, for this channel and this client.

    Args:
        payload: Whose signature has been checked.
        user: Of the connection; empty for an anonymous one.
        client: The connection's id.
        now: Unix seconds.

    Raises:
        TokenExpired: By more than the leeway.
        TokenForAnother: It is valid for another channel, user or client.
        TokenInvalid: Anything else is wrong with it.
    """
    claims = _decoded(payload, _OfSubscription)
    check(claims, rules, now)
    expires_at = end_of(claims, rules, now)
    subscription = _subscription(claims, expires_at, now)
    if claims.channel != channel:
        raise TokenForAnother("for another channel")
    if _user(payload, rules.user_id_claim) != user:
        raise TokenForAnother("for another user")
    if claims.client and claims.client != client:
        raise TokenForAnother("for another client")
    return replace(subscription, payload=payload)


def _decoded(payload: bytes, kind: type[_Kind]) -> _Kind:
    try:
        payload.decode()  # what is kept as it is, nobody else looks at
        return msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TokenInvalid(f"its claims: {type(error).__name__}") from None


def _user(payload: bytes, claim: str) -> str:
    given = _decoded(payload, dict[str, msgspec.Raw]).get(claim)
    if given is None:
        return ""
    user = _decoded(bytes(given), str)
    if len(user.encode()) > MAX_USER_BYTES:
        raise TokenInvalid(f"the user is over {MAX_USER_BYTES} bytes")
    return user


def _subscription(
    claims: _Sub | _OfSubscription, expires_at: float | None, now: float
) -> SubscriptionClaims:
    return SubscriptionClaims(
        info=_json(claims.info, claims.b64info),
        data=_json(claims.data, claims.b64data),
        override=(claims.override or _NO_OVERRIDE).chosen(),
        expires_at=expires_at,
        ttl_s=ttl_s(expires_at, now),
    )


def _channel(name: str) -> str:
    try:
        channel_names.check(name)
    except BadChannel as error:
        raise TokenInvalid(str(error)) from None
    return name


def _json(raw: msgspec.Raw, b64: str | None) -> bytes:
    """What goes into messages; the base64 form goes before the other, as in Centrifugo."""
    try:
        given = base64.b64decode(b64, validate=True) if b64 else bytes(raw)
        if given in (b"", b"null"):
            return b""
        return bytes(storable(given))
    except (NotJson, binascii.Error, ValueError) as error:
        raise TokenInvalid(f"what is to be JSON is none: {type(error).__name__}") from None
