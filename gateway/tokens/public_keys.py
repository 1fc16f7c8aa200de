"""Public keys in PEM and as JWK, each of one kind. What they are made of is PyJWT's to know."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import ConfigError
from gateway.tokens.signature import Key

MIN_RSA_BITS: Final = 2048

_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


class BadKey(ValueError):
    """It is no key that can be used here. Its text is ours."""


def check_available(name: str) -> None:
    """Refuse a setting that needs what is not installed here.

    Raises:
        ConfigError: Names the setting.
    """
    if importlib.util.find_spec("cryptography") is None:
        raise ConfigError(f"{name} needs cryptography: pip install 'pyjwt[crypto]'")


def rsa_key(pem: str) -> Key:
    return _of_kind(_loaded(pem), "RSA")


def ecdsa_key(pem: str) -> Key:
    """A key of P-256, P-384 or P-521: each is for one algorithm."""
    return _of_kind(_loaded(pem), "P-")


def eddsa_key(pem: str) -> Key:
    return _of_kind(_loaded(pem), "Ed25519")


def from_jwk(fields: Mapping[str, Any]) -> Key:
    """The public key of a JWK (RFC 7517, RFC 8037).

    Raises:
        BadKey: It is private, shared, of another kind, too short, or none.
    """
    from jwt import algorithms  # noqa: PLC0415

    kinds: dict[object, Any] = {
        "RSA": algorithms.RSAAlgorithm,
        "EC": algorithms.ECAlgorithm,
        "OKP": algorithms.OKPAlgorithm,
    }
    kind = fields.get("kty")
    if not isinstance(kind, str) or kind not in kinds or "d" in fields:
        raise BadKey("no public key of a known kind")
    try:
        value = kinds[kind].from_jwk(dict(fields))
    except Exception as error:  # of PyJWT, of cryptography or, for what has the wrong type, any
        raise BadKey(f"no key: {type(error).__name__}") from None
    return _of_kind(value, "")


def _loaded(pem: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    try:
        return load_pem_public_key(pem.encode())
    except Exception as error:
        raise BadKey(f"no public key in PEM: {type(error).__name__}") from None


def _of_kind(value: Any, beginning: str) -> Key:
    """Raises BadKey if it is of another kind, or too short."""
    kind = _kind_of(value)
    if kind is None or not kind.startswith(beginning):
        raise BadKey("a key of another kind")
    if kind == "RSA" and value.key_size < MIN_RSA_BITS:
        raise BadKey(f"an RSA key of {value.key_size} bits, under {MIN_RSA_BITS}")
    return Key(kind, value)


def _kind_of(value: Any) -> str | None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa  # noqa: PLC0415

    if isinstance(value, rsa.RSAPublicKey):
        return "RSA"
    if isinstance(value, ec.EllipticCurvePublicKey):
        return _CURVES.get(value.curve.name)
    return "Ed25519" if isinstance(value, ed25519.Ed25519PublicKey) else None
