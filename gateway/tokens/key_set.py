"""Keys that somebody else publishes, as a JWKS (RFC 7517): fetched when needed, and kept.

- A token with an unknown ``kid`` has the set fetched again: its issuer may have a new key. At most
  once in ``UNKNOWN_EACH_S``, whatever clients make up.
- All that wait for a fetch wait for the same one.
- A set that is older than ``FRESH_S`` is fetched again beside the work; until that succeeds, the
  old one counts. It outlives its server.
- A key that has gone from the set is believed no more, from the next fetch on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from gateway.errors import TokenKeysUnavailable
from gateway.log import get_logger
from gateway.tokens.fetch import FetchFailed, fetch
from gateway.tokens.public_keys import BadKey, from_jwk
from gateway.tokens.signature import Header, Key

log = get_logger(__name__)

FRESH_S: Final = 300.0
UNKNOWN_EACH_S: Final = 10.0
RETRY_EACH_S: Final = 1.0  # while there is no set at all
MAX_KEYS: Final = 100
MAX_KID_BYTES: Final = 512


class _Set(msgspec.Struct, frozen=True):
    keys: list[msgspec.Raw]


class _About(msgspec.Struct, frozen=True):
    """What is asked of a key that may be used here; others are passed over."""

    kid: str | None = None
    use: str | None = None
    alg: str | None = None


class KeySet:
    """The keys at one address. Make it anywhere; it is used in one event loop.

    Args:
        place: Where its address is set (``client.token``): so the log and the metrics name it.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        place: str,
        now: Callable[[], float],
        fetch: Callable[[str], Awaitable[bytes]] = fetch,
    ) -> None:
        self._url = url
        self._place = place
        self._now = now
        self._fetch = fetch
        self._keys: dict[str | None, list[tuple[str | None, Key]]] | None = None
        self._fetched_at = self._tried_at = -float("inf")
        self._fetching: asyncio.Task[None] | None = None

    async def candidates(self, header: Header) -> Sequence[Key]:
        """The keys of this kind and ``kid``. A token without one is taken if only one key fits.

        Raises:
            TokenKeysUnavailable: There is no set yet, and none can be had now.
        """
        if header.kind == "HMAC":  # a secret that is published is none
            return ()
        now = self._now()
        if self._keys is not None and (found := self._found(header)):
            if now - self._fetched_at >= FRESH_S:
                self._refetch(UNKNOWN_EACH_S)
            return found
        fetching = self._refetch(RETRY_EACH_S if self._keys is None else UNKNOWN_EACH_S)
        if fetching is not None:
            # Whoever gives up gives up for himself.
            await asyncio.shield(fetching)
        if self._keys is None:
            raise TokenKeysUnavailable("no key set yet")
        return self._found(header)

    def _found(self, header: Header) -> list[Key]:
        assert self._keys is not None
        if header.kid is not None:
            rows = self._keys.get(header.kid, [])
        else:
            rows = [row for listed in self._keys.values() for row in listed]
        found = [key for alg, key in rows if key.kind == header.kind and alg in (None, header.alg)]
        return found if header.kid is not None or len(found) == 1 else []

    def _refetch(self, each_s: float) -> asyncio.Task[None] | None:
        """The fetch that is under way, or a new one; None if the last was too short ago."""
        if self._fetching is None:
            if self._now() - self._tried_at < each_s:
                return None
            self._tried_at = self._now()
            self._fetching = asyncio.create_task(self._fetch_set(), name="jwks")
        return self._fetching

    async def _fetch_set(self) -> None:
        try:
            self._keys = _keys_of(await self._fetch(self._url))
            self._fetched_at = self._now()
            _count(self._place, failed=False)
        except FetchFailed as error:
            _count(self._place, failed=True)
            log.warning(
                "key set not fetched",
                key_set=self._place,
                why=str(error),
                stale=self._keys is not None,
            )
        except Exception:
            _count(self._place, failed=True)
            log.exception("key set fetch failed", key_set=self._place)
        finally:
            self._fetching = None


def _count(place: str, *, failed: bool) -> None:
    # A supervisor checks its settings before there is a place for metrics (``process.run_folder``).
    from gateway.metrics import count_key_set_fetch  # noqa: PLC0415

    count_key_set_fetch(place, failed=failed)


def _keys_of(body: bytes) -> dict[str | None, list[tuple[str | None, Key]]]:
    """Raises FetchFailed where it is no set, or has no key that can be used."""
    try:
        raw = msgspec.json.decode(body, type=_Set).keys
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise FetchFailed("no key set") from None
    keys: dict[str | None, list[tuple[str | None, Key]]] = {}
    for one in raw[:MAX_KEYS]:
        try:
            about = msgspec.json.decode(one, type=_About)
            if about.use not in (None, "sig") or len(about.kid or "") > MAX_KID_BYTES:
                continue
            fields: dict[str, Any] = msgspec.json.decode(one)
            key = from_jwk(fields)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, BadKey):
            continue  # of a kind that is not known here, or garbage: the others may be good
        keys.setdefault(about.kid, []).append((about.alg, key))
    if not keys:
        raise FetchFailed("a key set without a key that can be used")
    return keys
