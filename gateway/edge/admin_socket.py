"""How sockets of the admin page differ from those of clients: the application never hears of one.

Nothing lists them either, or whoever sweeps a dead worker would run ``on_disconnect`` for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.edge.admission import Limits
from gateway.edge.endpoint import Readiness
from gateway.edge.sessions.centrifuge.session_context import TICK_S
from gateway.edge.sockets.server_context import CLOSE_S
from gateway.protocol.ids import ConnectionId
from gateway.registry.base import Entry

MAX_SOCKETS: Final = 64  # of one worker that have shown a key: people look at it
HANDSHAKES_PER_S: Final = 20  # so many keys are tried at most
KEY_WITHIN_S: Final = 2.0  # from the handshake
# Those that have shown none take no place of the others. At that rate, from a handshake to its
# end: the key's time, and that of a closing handshake that is not answered.
MAX_WITHOUT_KEY: Final = int(HANDSHAKES_PER_S * (1 + KEY_WITHIN_S + TICK_S + CLOSE_S))
ORIGIN_HELP: Final = (
    "the admin page's socket takes the page of its own host only, whatever GATEWAY_ALLOWED_ORIGINS "
    "says; if a proxy changed the Host header, let it send $http_host"
)


def limits(*, allowed_hosts: tuple[str, ...]) -> Limits:
    """The bounds on handshakes. Only the page itself may connect, whatever clients' origins are."""
    return Limits(
        max_connections=MAX_SOCKETS + MAX_WITHOUT_KEY,
        max_connections_per_address=None,
        handshakes_per_second=HANDSHAKES_PER_S,
        allowed_origins=(),
        allowed_hosts=allowed_hosts,
    )


class Unlisted:
    """A ``Listing`` that lists nothing."""

    def put(self, connection: ConnectionId, entry: Entry, written: Callable[[], None]) -> None:  # noqa: ARG002
        asyncio.get_running_loop().call_soon(written)

    def change(self, connection: ConnectionId, entry: Entry) -> None: ...

    def drop(self, connection: ConnectionId) -> None: ...


class Undecided:
    """``Readiness`` of the worker, without the application's decision."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    @property
    def draining(self) -> bool:
        return self._readiness.draining

    async def soon(self) -> bool:
        return await self._readiness.soon()

    async def must_decide(self) -> bool | None:
        return False
