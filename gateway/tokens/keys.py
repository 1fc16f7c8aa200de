"""The keys that an operator has set up, and which of them may have signed a token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.errors import ConfigError
from gateway.settings.tokens import TokenOptions
from gateway.tokens.signature import Header, Key


class Keys(Protocol):
    """Where keys are."""

    async def candidates(self, header: Header) -> Sequence[Key]:
        """The keys that may have signed a token with this header; a few at most.

        Raises:
            TokenKeysUnavailable: There may be one, and it cannot be had now.
        """
        ...


class StaticKeys:
    """Keys that stand in the settings."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    async def candidates(self, header: Header) -> Sequence[Key]:
        return [key for key in self._keys if key.kind == header.kind]


def static_keys(options: TokenOptions) -> StaticKeys:
    """The keys of these options, but for those of a JWKS.

    Raises:
        ConfigError: One is none.
    """
    secrets = (options.hmac_secret_key, options.hmac_previous_secret_key)
    keys = [Key("HMAC", secret.reveal().encode()) for secret in secrets if secret]
    if (
        options.rsa_public_key
        or options.ecdsa_public_key
        or options.eddsa_public_key
        or options.jwks_public_endpoint
    ):
        raise ConfigError(f"{options.place}: only shared secrets are supported yet")
    return StaticKeys(keys)
