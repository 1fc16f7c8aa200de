"""The end of a dead worker's connections: their ``on_disconnect`` runs, at least once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

from gateway.dispatch import Desk, Dispatcher
from gateway.hub import Hub
from gateway.log import get_logger
from gateway.protocol.conversation import Event, Pending
from gateway.protocol.envelope import Answer, Facts, Particulars
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt
from gateway.registry.base import Entry, Registry

log = get_logger(__name__)

AT_ONCE: Final = 200
LOST_CODE: Final = 1006
LOST_REASON: Final = "worker died"


class Ghost:
    """What the registry knows of a connection whose worker died: a ``Party`` and a ``Member``."""

    def __init__(
        self, connection: ConnectionId, entry: Entry, hub: Hub, dispatcher: Dispatcher
    ) -> None:
        self.id = connection
        self.facts = Facts(entry.user, entry.address, "", (("user-agent", entry.user_agent),), ())
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._dispatcher = dispatcher
        self._hub = hub
        self._desk: Desk = dispatcher.open(self)
        hub.add(self)

    def say_goodbye(self) -> None:
        self._dispatcher.read(self._desk, Event.DISCONNECT, LOST_REASON, close_code=LOST_CODE)

    def leave(self) -> None:
        self._dispatcher.close(self._desk)
        self._hub.remove(self.id)

    def settle(self, worker: WorkerId, answer: Answer) -> None:
        self._dispatcher.settle(self._desk, worker, answer)

    def flush(self) -> None:
        """It has no socket, and nothing to write."""

    @property
    def taking(self) -> Receipt:
        return Receipt.GONE

    def push(self, text: str, done: Callable[[Receipt], None]) -> None:  # noqa: ARG002
        done(Receipt.GONE)

    def disconnect(self, code: int, reason: str) -> Receipt:  # noqa: ARG002
        return Receipt.GONE

    def particulars(self) -> Particulars:
        return Particulars(0, 0, self.facts.user, self.facts.address, "")

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:  # noqa: ARG002
        self._end()

    def unhandled(self, pending: Pending) -> None:  # noqa: ARG002
        log.error("on_disconnect given up", connection_id=self.id)
        self._end()

    def _end(self) -> None:
        self.leave()
        if not self.done.done():
            self.done.set_result(None)


async def say_goodbye_for(
    worker: WorkerId, registry: Registry, hub: Hub, dispatcher: Dispatcher
) -> int:
    """Dispatch ``on_disconnect`` for every connection the registry lists for a dead worker.

    Each is removed from the registry once it is handled, so that whoever takes over a sweep that
    was broken off goes on where it stopped. Returns how many there were.

    Raises:
        BrokerUnavailable: Broken off.
    """
    count = 0
    async for some in _chunks(registry.entries(worker)):
        ghosts = [Ghost(connection, entry, hub, dispatcher) for connection, entry in some]
        try:
            for ghost in ghosts:
                ghost.say_goodbye()
            await asyncio.gather(*(ghost.done for ghost in ghosts))
        finally:
            for ghost in ghosts:
                ghost.leave()
        await registry.swept(worker, [ghost.id for ghost in ghosts])
        count += len(ghosts)
    return count


async def _chunks(
    entries: AsyncIterator[tuple[ConnectionId, Entry]],
) -> AsyncIterator[list[tuple[ConnectionId, Entry]]]:
    chunk: list[tuple[ConnectionId, Entry]] = []
    async for item in entries:
        chunk.append(item)
        if len(chunk) == AT_ONCE:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
