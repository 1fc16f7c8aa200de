"""Who may open a socket: checked before the handshake is accepted, answered in real HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers

from gateway.edge.addresses import UNIX
from gateway.edge.hosts import Hosts, same_host
from gateway.edge.refusal import Refusal
from gateway.edge.sockets.upgrade import MAX_SUBPROTOCOLS
from gateway.log import get_logger
from gateway.protocol.rate import Rate

log = get_logger(__name__)

TELL_EACH_S: Final = 60.0
MAX_TOLD: Final = 200  # characters
ORIGIN_HELP: Final = (
    "the page's own host may connect; if a proxy changed the Host header, let it send $http_host, "
    "or name the page in GATEWAY_ALLOWED_ORIGINS"
)


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
NO_CHANNELS = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "channels",
    "the channels of this connection are not there now, try again",
    1,
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
NO_FILES = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE, "open_files", "this worker is out of descriptors, try again", 1
)
TOO_MANY_FROM_ADDRESS = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "address", "too many connections from this address", 10
)
TOO_FAST = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS, "handshake_rate", "too many handshakes, try again", 1
)
TOO_MANY_SUBPROTOCOLS = Refusal(
    HTTPStatus.BAD_REQUEST, "subprotocols", "too many subprotocols offered"
)
WRONG_ORIGIN = Refusal(HTTPStatus.FORBIDDEN, "origin", "this origin may not connect")


class Admission:
    """Counts this worker's connections and decides on each handshake.

    Args:
        origin_help: Goes into the log with an origin that is refused.
    """

    def __init__(
        self, limits: Limits, *, now: Callable[[], float], origin_help: str = ORIGIN_HELP
    ) -> None:
        self._limits = limits
        self.hosts = Hosts(limits.allowed_hosts)
        self._origins = {origin.lower().rstrip("/") for origin in limits.allowed_origins}
        self._now = now
        self._origin_help = origin_help
        self._addresses: Counter[str] = Counter()
        self._rate = (
            Rate(limits.handshakes_per_second, now=now()) if limits.handshakes_per_second else None
        )
        self._told_at: float | None = None
        self.connections = 0

    @property
    def max_connections(self) -> int:
        return self._limits.max_connections

    def check(
        self, headers: Headers, address: str, *, http_version: str = "1.1", subprotocols: int = 0
    ) -> Refusal | None:
        """Decide on one handshake. None admits it; then ``enter`` and, at its end, ``leave``."""
        limits = self._limits
        refusal = self.hosts.check(headers.raw, http_version=http_version)
        if refusal is None and subprotocols > MAX_SUBPROTOCOLS:  # read by a server that is not ours
            refusal = TOO_MANY_SUBPROTOCOLS
        if refusal is not None:
            return refusal
        if not self._origin_allowed(headers.get("origin"), headers.get("host", "")):
            return WRONG_ORIGIN
        if self.connections >= limits.max_connections:
            return TOO_MANY
        most = limits.max_connections_per_address
        # All that come by a Unix socket have the same, which is nobody's.
        if most is not None and address != UNIX and self._addresses[address] >= most:
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

    def _origin_allowed(self, origin: str | None, host: str) -> bool:
        # Browsers send Origin with every handshake, and no same-origin policy holds them back:
        # without this check any page could use its visitor's cookies here.
        if origin is None:
            return True
        if self._origins:
            return "*" in self._origins or origin.lower() in self._origins
        if same_host(origin, host):
            return True
        self._tell_of_origin(origin, host)
        return False

    def _tell_of_origin(self, origin: str, host: str) -> None:
        """At most once a minute: a proxy that sends another Host refuses every browser."""
        now = self._now()
        if self._told_at is None or now - self._told_at >= TELL_EACH_S:
            self._told_at = now
            log.warning(
                "origin refused",
                origin=origin[:MAX_TOLD],
                host=host[:MAX_TOLD],
                help=self._origin_help,
            )
