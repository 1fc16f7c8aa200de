"""Tokens that are signed with a private key, and checked with the public one."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest

from gateway.errors import ConfigError, TokenInvalid
from gateway.settings.tokens import TokenOptions
from gateway.settings.values import Secret
from gateway.tokens.public_keys import BadKey, from_jwk
from gateway.tokens.verifier import TokenVerifier, token_verifier
from tests.support.tokens import SECRET, b64, token

pytest.importorskip("cryptography", reason="comes with pyjwt[crypto]")

from tests.support.key_pairs import PAIRS, KeyPair, rsa_pair

ALGORITHMS = {
    "RS256": "RSA", "RS384": "RSA", "RS512": "RSA", "ES256": "P-256", "ES384": "P-384",
    "ES512": "P-521", "EdDSA": "Ed25519",
}  # fmt: skip
SETTING = {
    "RSA": "rsa_public_key", "P-256": "ecdsa_public_key", "P-384": "ecdsa_public_key",
    "P-521": "ecdsa_public_key", "Ed25519": "eddsa_public_key",
}  # fmt: skip


def verifier(**options: Any) -> TokenVerifier:
    given = TokenOptions(place="client.token", **options)
    return token_verifier(given, given)


def believing(pair: KeyPair, kind: str) -> TokenVerifier:
    return verifier(**{SETTING[kind]: pair.public_pem})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_a_token_of_the_private_key_is_believed(algorithm: str) -> None:
    kind = ALGORITHMS[algorithm]
    pair = PAIRS[kind]

    claims = await believing(pair, kind).verify_connection(
        token({"sub": "ann"}, pair.private, algorithm)
    )

    assert claims.user == "ann"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("kind", PAIRS)
async def test_a_key_is_for_the_algorithms_of_its_kind(algorithm: str, kind: str) -> None:
    if ALGORITHMS[algorithm] == kind:
        return
    made = token({"sub": "ann"}, PAIRS[ALGORITHMS[algorithm]].private, algorithm)

    with pytest.raises(TokenInvalid):
        await believing(PAIRS[kind], kind).verify_connection(made)


@pytest.mark.parametrize("pem", [str.strip, str, lambda pem: pem.strip() + "\n"])
@pytest.mark.parametrize("kind", PAIRS)
@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512"])
async def test_a_public_key_is_no_secret_that_signs(name: str, kind: str, pem: Any) -> None:
    """Whoever has the public key could make tokens, where the token chose what a key is."""
    pair = PAIRS[kind]
    head, payload = b64(f'{{"alg":"{name}"}}'.encode()), b64(b'{"sub":"mallory"}')
    kinds = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
    signing = f"{head}.{payload}".encode()
    mac = hmac.digest(pem(pair.public_pem).encode(), signing, kinds[name])
    forged = f"{head}.{payload}.{b64(mac)}"

    for one in (
        believing(pair, kind),
        verifier(hmac_secret_key=Secret(SECRET), **{SETTING[kind]: pair.public_pem}),
    ):
        with pytest.raises(TokenInvalid):
            await one.verify_connection(forged)


async def test_another_private_key_is_not_believed() -> None:
    with pytest.raises(TokenInvalid):
        await believing(PAIRS["RSA"], "RSA").verify_connection(
            token({"sub": "ann"}, rsa_pair(2048).private, "RS256")
        )


@pytest.mark.parametrize("kind", PAIRS)
async def test_a_garbled_signature_is_invalid(kind: str) -> None:
    algorithm = next(name for name, its in ALGORITHMS.items() if its == kind)
    head, payload, _ = token({"sub": "ann"}, PAIRS[kind].private, algorithm).split(".")

    for signature in (b"", b"\x00", b"\xff" * 64, b"\x00" * 64, b"\x00" * 132, b"x" * 256):
        with pytest.raises(TokenInvalid):
            await believing(PAIRS[kind], kind).verify_connection(
                f"{head}.{payload}.{b64(signature)}"
            )


@pytest.mark.parametrize("name", sorted(set(SETTING.values())))
@pytest.mark.parametrize("kind", PAIRS)
def test_a_key_of_another_kind_is_refused_at_the_start(name: str, kind: str) -> None:
    if SETTING[kind] != name:
        with pytest.raises(ConfigError, match=rf"client.token.{name}: a key of another kind"):
            verifier(**{name: PAIRS[kind].public_pem})


def test_garbage_and_short_keys_are_refused_at_the_start() -> None:
    broken = PAIRS["RSA"].public_pem.replace("A", "B")

    with pytest.raises(ConfigError, match="no public key in PEM"):
        verifier(rsa_public_key=broken)
    with pytest.raises(ConfigError, match="an RSA key of 1024 bits, under 2048"):
        verifier(rsa_public_key=rsa_pair(1024).public_pem)


@pytest.mark.parametrize("kind", PAIRS)
def test_a_jwk_is_the_same_key(kind: str) -> None:
    assert from_jwk(PAIRS[kind].jwk()).kind == kind


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kty": 1},
        {"kty": ["RSA"]},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 1, "e": 2},
        {"kty": "RSA", "n": "", "e": ""},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
        {"kty": "EC", "crv": "secp256k1", "x": "A" * 43, "y": "A" * 43},
        {"kty": "OKP", "crv": "X25519", "x": "A" * 43},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA"},
        {"kty": "OKP", "crv": "Ed25519", "x": None},
    ],
)
def test_what_is_no_public_key_is_a_bad_one(fields: dict[str, Any]) -> None:
    with pytest.raises(BadKey):
        from_jwk(fields)


def test_a_private_jwk_is_not_taken() -> None:
    with pytest.raises(BadKey):
        from_jwk({**PAIRS["Ed25519"].jwk(), "d": "AA"})
