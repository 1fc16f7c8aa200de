"""Who may open a socket: checked before the handshake is accepted, answered in real HTTP."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers

from gateway.protocol.rate import Rate

# RFC 9110 section 7.2: a name or an address, in brackets if it is IPv6, and perhaps a port. Not
# urlsplit(): it raises at some of what clients send, and finds a host in more than is one.
_HOST: Final = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(:\d{1,5})?", re.ASCII)
# RFC 6454 section 6.2: scheme, host and port, with nothing behind them; or the word null.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?P<host>[^\s/?#@]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer instead of a socket. ``reason`` is a metric label, ``text`` is for people."""

    status: int
    reason: str
    text: str
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds on handshakes. None is no bound."""

    max_connections: int
    max_connections_per_address: int | None
    handshakes_per_second: int | None
    allowed_origins: tuple[str, ...]
    allowed_hosts: tuple[str, ...]


NOT_READY = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "not_ready", "this worker is not ready, try again", 1
)
NO_HANDLER = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "no_handler", "nobody could decide on this connection", 5
)
HANDLER_FAILED = Refusal(
    HTTPStatus.INTERNAL_SERVER_ERROR, "handler_failed", "the application could not decide"
)
NOT_RUNNING = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "not_running", "the gateway is not running in this process", 5
)
WRONG_ROLE = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "role", "this worker runs handlers only and holds no sockets", 1
)
TOO_MANY = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "max_connections", "this worker is full, try again", 1
)
TOO_MANY_FROM_ADDRESS = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "address", "too many connections from this address", 10
)
TOO_FAST = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "handshake_rate", "too many handshakes, try again", 1
)
WRONG_ORIGIN = Refusal(HTTPStatus.FORBIDDEN, "origin", "this origin may not connect")
WRONG_HOST = Refusal(HTTPStatus.FORBIDDEN, "host", "this host name is not served here")


class Admission:
    """Counts this worker's connections and decides on each handshake."""

    def __init__(self, limits: Limits, *, now: Callable[[], float]) -> None:
        self._limits = limits
        self._hosts = {host.lower().strip("[]") for host in limits.allowed_hosts}
        self._origins = {origin.lower().rstrip("/") for origin in limits.allowed_origins}
        self._now = now
        self._addresses: Counter[str] = Counter()
        self._rate = (
            Rate(limits.handshakes_per_second, now=now()) if limits.handshakes_per_second else None
        )
        self.connections = 0

    def check(self, headers: Headers, address: str) -> Refusal | None:
        """Decide on one handshake. None admits it; then ``enter`` and, at its end, ``leave``."""
        limits = self._limits
        if not self.host_allowed(headers.get("host", "")):
            return WRONG_HOST
        if not self._origin_allowed(headers.get("origin"), headers.get("host", "")):
            return WRONG_ORIGIN
        if self.connections >= limits.max_connections:
            return TOO_MANY
        most = limits.max_connections_per_address
        if most is not None and self._addresses[address] >= most:
            return TOO_MANY_FROM_ADDRESS
        if self._rate is not None and not self._rate.allow(self._now()):
            return TOO_FAST
        return None

    def enter(self, address: str) -> None:
        self.connections += 1
        if self._limits.max_connections_per_address is not None:
            self._addresses[address] += 1

    def leave(self, address: str) -> None:
        self.connections -= 1
        if self._limits.max_connections_per_address is not None:
            self._addresses[address] -= 1
            if not self._addresses[address]:
                del self._addresses[address]

    def host_allowed(self, host: str) -> bool:
        """Whether the Host header names something that is served here."""
        if not self._hosts or "*" in self._hosts:
            return True
        found = _HOST.fullmatch(host.lower())
        return found is not None and found["name"].strip("[]") in self._hosts

    def _origin_allowed(self, origin: str | None, host: str) -> bool:
        # Browsers send Origin with every handshake, and no same-origin policy holds them back:
        # without this check any page could use its visitor's cookies here.
        if origin is None:
            return True
        origin = origin.lower()
        if self._origins:
            return "*" in self._origins or origin in self._origins
        found = _ORIGIN.fullmatch(origin)
        return found is not None and found["host"] == host.lower()
