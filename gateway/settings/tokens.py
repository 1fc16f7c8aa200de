"""Whose tokens are believed: the options of ``[client.token]`` and ``[client.subscription_token]``.

What is set is in ``gateway.settings.config``, under the names that Centrifugo has for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from gateway.errors import ConfigError
from gateway.settings.values import Secret, secret, text

MIN_HMAC_BYTES: Final = 32  # of a hash (RFC 7518 section 3.2); less can be guessed from one token
_CLAIM: Final = re.compile(r"[a-zA-Z_]+")
_PUBLIC: Final = "-----BEGIN PUBLIC KEY-----"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOptions:
    """One set of keys, and what is asked of their tokens.

    Attributes:
        place: Where these are set, for errors: ``client.token``.
    """

    place: str
    hmac_secret_key: Secret = Secret("")  # noqa: RUF009 (it never changes)
    hmac_previous_secret_key: Secret = Secret("")  # noqa: RUF009
    rsa_public_key: str = ""
    ecdsa_public_key: str = ""
    eddsa_public_key: str = ""
    jwks_public_endpoint: str = ""
    audience: str = ""
    issuer: str = ""
    user_id_claim: str = "sub"
    leeway_s: float = 60.0

    @property
    def has_keys(self) -> bool:
        """Whether any token could be valid."""
        return bool(
            self.hmac_secret_key
            or self.rsa_public_key
            or self.ecdsa_public_key
            or self.eddsa_public_key
            or self.jwks_public_endpoint
        )


def hmac_key(name: str, raw: object) -> Secret:
    """A secret that is long enough, and no public key."""
    found = secret(name, raw)
    size = len(found.reveal().encode())
    if found and size < MIN_HMAC_BYTES:
        raise ConfigError(
            f"{name}=*** has {size} bytes, under {MIN_HMAC_BYTES}: openssl rand -hex 32 makes one"
        )
    if found.reveal().lstrip().startswith("-----BEGIN"):
        raise ConfigError(f"{name}=*** is a key in PEM, and no shared secret")
    return found


def public_key(name: str, raw: object) -> str:
    """A public key in PEM. What it holds is looked at where tokens are checked.

    ``\\n`` written out counts as the end of a line: not everything that sets variables takes one.
    """
    found = text(name, raw).replace("\\n", "\n").strip()
    if found and not found.startswith(_PUBLIC):
        raise ConfigError(f"{name} is no public key in PEM: it begins with {_PUBLIC}")
    return found


def endpoint(name: str, raw: object) -> str:
    """An http or https URL."""
    found = text(name, raw)
    try:
        parts = urlsplit(found)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if found and not (good and found.isascii() and found.isprintable() and " " not in found):
        raise ConfigError(f"{name} is no http:// or https:// URL")
    if found and (parts.username or parts.password):
        raise ConfigError(f"{name}: a URL with a user or a password is not supported")
    return found


def claim(name: str, raw: object) -> str:
    found = text(name, raw)
    if not _CLAIM.fullmatch(found):
        raise ConfigError(f"{name} is no name of a claim: letters and _")
    return found
