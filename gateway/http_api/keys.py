"""API keys: ``Authorization: Bearer KEY`` or ``X-API-Key: KEY``."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator
from hashlib import sha256

from gateway.http_api.raw import Headers


class ApiKeys:
    """Several, so that one can be replaced while the other still works.

    Only their hashes are kept: comparing these in constant time tells nothing of the length of a
    key either.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._hashes = [sha256(key.encode()).digest() for key in keys]

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def allow(self, key: bytes) -> bool:
        """Whether it is one of them. Takes as long for the first as for none."""
        asked = sha256(key).digest()
        found = False
        for known in self._hashes:  # not any(): that would end at the first that fits
            found |= hmac.compare_digest(asked, known)
        return found


def presented(headers: Headers) -> Iterator[bytes]:
    """Every key that a request shows, in either way, in the order of its headers."""
    for name, value in headers:
        match name.lower():
            case b"x-api-key":
                yield value.strip()
            case b"authorization":
                scheme, _, key = value.strip().partition(b" ")
                if scheme.lower() == b"bearer":  # RFC 9110 section 11.1: in any case
                    yield key.strip()
