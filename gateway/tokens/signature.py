"""Whose signature a token has: the parts of a JWS in compact form (RFC 7515), checked with a key.

Each algorithm is taken only with a key of its kind, and the kind of a key is what it was set up
as: that of a token is what an attacker writes.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.errors import TokenInvalid

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm

MAX_TOKEN_BYTES: Final = 32_768

# Kinds of keys, by the algorithms of tokens. "none" is in no row.
KIND_OF: Final = {
    **dict.fromkeys(("HS256", "HS384", "HS512"), "HMAC"),
    **dict.fromkeys(("RS256", "RS384", "RS512"), "RSA"),
    "ES256": "P-256",
    "ES384": "P-384",
    "ES512": "P-521",
    "EdDSA": "Ed25519",
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key that tokens may be signed with.

    Attributes:
        kind: One of the values of ``KIND_OF``.
        value: As the algorithms of that kind take it.
    """

    kind: str
    value: Any


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a token's header; other members say nothing to us."""

    alg: str
    kid: str | None = None
    crit: msgspec.Raw | None = None
    b64: msgspec.Raw | None = None

    @property
    def kind(self) -> str:
        return KIND_OF[self.alg]


@dataclass(frozen=True, slots=True)
class Signed:
    """A token in its parts. Nothing of it may be believed before ``check``."""

    header: Header
    payload: bytes
    _signing_input: bytes
    _signature: bytes

    def check(self, key: Key) -> bool:
        """Whether it was signed with this key."""
        if key.kind != self.header.kind:
            return False
        try:
            return _algorithm(self.header.alg).verify(
                self._signing_input, key.value, self._signature
            )
        except (ValueError, TypeError):  # a signature that no such key could have made
            return False


def parts_of(token: str) -> Signed:
    """Take a token apart.

    Raises:
        TokenInvalid: It is none, or asks for what is not understood here.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenInvalid(f"over {MAX_TOKEN_BYTES} bytes")
    parts = token.split(".")
    if len(parts) != 3:
        raise TokenInvalid("not three parts")
    header, payload, signature = map(_decoded, parts)
    try:
        header.decode()
        found = msgspec.json.decode(header, type=Header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise TokenInvalid(f"its header: {type(error).__name__}") from None
    if found.alg not in KIND_OF:
        raise TokenInvalid("an algorithm that is not known here")
    if found.crit is not None or found.b64 is not None:  # RFC 7515 section 4.1.11
        raise TokenInvalid("a header that is not understood here")
    return Signed(found, payload, f"{parts[0]}.{parts[1]}".encode(), signature)


def _decoded(part: str) -> bytes:
    """Of base64url without padding (RFC 7515 section 2), and nothing that only means the same."""
    try:
        raw = part.encode("ascii")
        found = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    except (binascii.Error, ValueError):
        raise TokenInvalid("not base64url") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=") != raw:
        raise TokenInvalid("not base64url")
    return found


def prepare() -> None:
    """Import what checks signatures: 0.1 s and 9 MB, for a worker that will need it.

    Without it the first token pays, and holds up everybody.
    """
    _algorithm("HS256")


@cache
def _algorithm(name: str) -> Algorithm:
    import jwt  # noqa: PLC0415 (see prepare)

    return jwt.get_algorithm_by_name(name)
