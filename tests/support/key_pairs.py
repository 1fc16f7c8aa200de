"""Pairs of keys, made once a test run."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm


@dataclass(frozen=True)
class KeyPair:
    private: Any

    @property
    def public_pem(self) -> str:
        public = self.private.public_key()
        pem: bytes = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem.decode()

    def jwk(self, **more: Any) -> dict[str, Any]:
        """The public key."""
        public = self.private.public_key()
        kinds = {rsa.RSAPublicKey: RSAAlgorithm, ec.EllipticCurvePublicKey: ECAlgorithm}
        algorithm: Any = next(
            (kind for key, kind in kinds.items() if isinstance(public, key)), OKPAlgorithm
        )
        return {**json.loads(algorithm.to_jwk(public)), **more}


def rsa_pair(bits: int = 2048) -> KeyPair:
    return KeyPair(rsa.generate_private_key(public_exponent=65537, key_size=bits))


PAIRS = {
    "RSA": rsa_pair(),
    "P-256": KeyPair(ec.generate_private_key(ec.SECP256R1())),
    "P-384": KeyPair(ec.generate_private_key(ec.SECP384R1())),
    "P-521": KeyPair(ec.generate_private_key(ec.SECP521R1())),
    "Ed25519": KeyPair(ed25519.Ed25519PrivateKey.generate()),
}
