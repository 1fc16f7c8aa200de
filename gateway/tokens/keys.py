"""The keys that an operator has set up, and which of them may have signed a token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from gateway.errors import ConfigError
from gateway.settings.tokens import TokenOptions
from gateway.tokens import public_keys
from gateway.tokens.key_set import KeySet
from gateway.tokens.public_keys import BadKey
from gateway.tokens.signature import Header, Key

_PUBLIC: Final[dict[str, Callable[[str], Key]]] = {
    "rsa_public_key": public_keys.rsa_key,
    "ecdsa_public_key": public_keys.ecdsa_key,
    "eddsa_public_key": public_keys.eddsa_key,
}


class Keys(Protocol):
    """Where keys are."""

    async def candidates(self, header: Header) -> Sequence[Key]:
        """The keys that may have signed a token with this header; a few at most.

        Raises:
            TokenKeysUnavailable: There may be one, and it cannot be had now.
        """
        ...


class OperatorsKeys:
    """Keys that stand in the settings, and those of a JWKS."""

    def __init__(self, keys: Sequence[Key], key_set: KeySet | None) -> None:
        self._keys = tuple(keys)
        self._key_set = key_set

    async def candidates(self, header: Header) -> Sequence[Key]:
        mine = [key for key in self._keys if key.kind == header.kind]
        if mine or self._key_set is None:
            return mine
        return await self._key_set.candidates(header)


def operators_keys(options: TokenOptions) -> OperatorsKeys:
    """The keys of these options. Nothing is fetched before a token asks for it.

    A kind that has a key in the settings has no others.

    Raises:
        ConfigError: One is none.
    """
    url = options.jwks_public_endpoint
    key_set = KeySet(url, place=options.place, now=time.monotonic) if url else None
    if url:
        public_keys.check_available(f"{options.place}.jwks_public_endpoint")
    return OperatorsKeys(list(_standing(options)), key_set)


def _standing(options: TokenOptions) -> Iterator[Key]:
    for secret in (options.hmac_secret_key, options.hmac_previous_secret_key):
        if secret:
            yield Key("HMAC", secret.reveal().encode())
    for name, load in _PUBLIC.items():
        pem = getattr(options, name)
        if pem:
            public_keys.check_available(f"{options.place}.{name}")
            try:
                yield load(pem)
            except BadKey as error:
                raise ConfigError(f"{options.place}.{name}: {error}") from None
