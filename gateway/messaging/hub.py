"""This worker's connections, by id.

A class, not an interface: there is one hub, it is memory, and tests use it as is.
``LocalConnection`` exists so that what carries messages does not import what holds sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Protocol

from gateway.errors import GatewayError
from gateway.log import get_logger
from gateway.protocol.envelopes.requests_to_owners import Particulars
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt

log = get_logger(__name__)

# Told once what became of a change: a receipt, or why it was refused.
Done = Callable[[Receipt | GatewayError], None]


class Collects(Protocol):
    """Whoever collects what is to be written."""

    def flush(self, *, at_once: bool = False) -> bool:
        """Write what was collected since ``Hub.flush_later``, in one go.

        Args:
            at_once: Only if nothing waits that was written before: in one turn of the loop, that
                may be what the kernel was not asked yet to take.

        Returns:
            False: nothing was done, and it is to be called again in another turn.
        """
        ...

    def leave_groups(self) -> None:
        """Be written to by nobody else (``WriteGroup``), as what was collected is to go first."""
        ...


class LocalConnection(Protocol):
    """One connection, as those who carry messages see it. Nothing here waits."""

    @property
    def id(self) -> ConnectionId: ...

    @property
    def taking(self) -> Receipt:
        """WRITTEN: it is open. UNREACHABLE: it may still become so. GONE: never again."""
        ...

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:
        """Send ``text`` out of turn. ``done`` is called once with what became of it."""
        ...

    def disconnect(self, code: int, reason: str) -> Receipt:
        """Close the socket after what was pushed. WRITTEN: its close frame is under way."""
        ...

    def subscribe(self, channel: str, done: Done) -> None:
        """Subscribe it. ``done``: WRITTEN once it is subscribed, also if it was already."""
        ...

    def unsubscribe(self, channel: str, done: Done) -> None:
        """Unsubscribe it. ``done``: WRITTEN, also if it was not subscribed."""
        ...

    def particulars(self) -> Particulars | None:
        """What there is to say of it while it is open."""
        ...


class Hub:
    """Not safe for use from several threads.

    Attributes:
        unflushed: Those that have collected something, and perhaps some that have not any more.
    """

    def __init__(self) -> None:
        self._connections: dict[ConnectionId, LocalConnection] = {}
        self.unflushed: list[Collects] = []
        self._gathering = False
        self._flushing = False  # was asked of the loop
        self._loop: asyncio.AbstractEventLoop | None = None  # to ask which runs asks the kernel

    def __len__(self) -> int:
        return len(self._connections)

    def __iter__(self) -> Iterator[LocalConnection]:
        """All of them at this moment; they may be added and removed meanwhile."""
        return iter(list(self._connections.values()))

    def add(self, local: LocalConnection) -> None:
        self._connections[local.id] = local

    def remove(self, connection: ConnectionId) -> None:
        self._connections.pop(connection, None)

    def get(self, connection: ConnectionId) -> LocalConnection | None:
        return self._connections.get(connection)

    def flush_later(self, local: Collects) -> None:
        """``local`` has collected its first frame since it was flushed; flush it at the end.

        The end is that of the deliveries that are gathered, or of this turn of the loop: all frames
        that there are for one connection leave in one write.
        """
        self.unflushed.append(local)
        if not (self._gathering or self._flushing):
            self._flush_soon()

    def gather(self) -> None:
        """Until ``flush_gathered``, which follows within this turn, do not ask the loop."""
        self._gathering = True

    def flush_gathered(self) -> None:
        """Flush what can be at once: a turn of the loop later is later."""
        self._gathering = False
        if self.unflushed:
            unflushed, self.unflushed = self.unflushed, []
            for local in unflushed:
                try:
                    if not local.flush(at_once=True):
                        self.unflushed.append(local)
                except Exception:  # those behind it would never be flushed again
                    log.exception("flush failed")
            if self.unflushed and not self._flushing:
                self._flush_soon()

    def _flush_soon(self) -> None:
        self._flushing = True
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        unflushed, self.unflushed = self.unflushed, []
        for local in unflushed:
            try:
                local.flush()
            except Exception:
                log.exception("flush failed")
