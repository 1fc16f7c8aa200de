"""Publications that no master of a Cluster takes now: kept in order, and given to one in time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gateway.channel_broker.base import Publishing, Stored
from gateway.channel_broker.redis_publications import MAX_WAITING_BYTES, Item, Tell
from gateway.errors import BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.node import Node

AGAIN_S: Final = 0.03  # until what was refused on its way is tried again
LONGEST_AGAIN_S: Final = (
    0.24  # where it is refused again and again: all that waits is sent each time
)
MAX_DETAINED: Final = 10_000
NOBODY: Final = "no master of the Cluster that has it is connected"


class DetainedPublications:
    """Those that were refused, and what follows in their channels. Each fails in the end.

    None waits for longer than ``REDIS_DEADLINE_S``; all together are bounded by ``MAX_DETAINED``
    and ``MAX_WAITING_BYTES``, and what is over it fails at once.

    Args:
        node: Told what was in vain.
        failed: Told of each that fails, why (``gateway.metrics.families``).
        give: Gives what waits in one channel, in order, to who takes it now. False: nobody does.
        look: Called before that; True if it is to be called again soon, whatever waits.

    Attributes:
        channels: What waits, by channel. What else is published in one of these has to wait too.
    """

    def __init__(
        self,
        node: Node,
        *,
        failed: Callable[[str], object],
        give: Callable[[str, list[Item]], bool],
        look: Callable[[], bool],
    ) -> None:
        self.channels: dict[str, list[Item]] = {}
        self._node = node
        self._failed = failed
        self._give = give
        self._look = look
        self._count = self._bytes = 0
        self._again_s = AGAIN_S
        self._releasing = False  # soon

    def begin(self, what: Publishing | Tell, size: int) -> asyncio.Future[Stored]:
        """Keep what nobody was given yet."""
        answer: asyncio.Future[Stored] = asyncio.get_running_loop().create_future()
        self.add([Item(what, size, answer)])
        return answer

    def add(self, items: list[Item]) -> None:
        """Keep these, in order, until their channels are somewhere."""
        now = asyncio.get_running_loop().time()
        if items:
            if not self._count:
                again = items[0].ends_at is not None
                self._again_s = min(2 * self._again_s, LONGEST_AGAIN_S) if again else AGAIN_S
            self.release_soon(self._again_s)
        for item in items:
            if item.ends_at is None:
                item.ends_at = now + REDIS_DEADLINE_S
            full = self._count >= MAX_DETAINED or self._bytes + item.size > MAX_WAITING_BYTES
            if now >= item.ends_at or full:
                self._failed("not_connected")
                item.fail(BrokerUnavailable("not published: no master of the Cluster takes it"))
                if not full:
                    self._node.in_vain(item.refused or NOBODY, f"publish {item.what.channel}")
                continue
            self.channels.setdefault(item.what.channel, []).append(item)
            self._count += 1
            self._bytes += item.size

    def release_soon(self, after_s: float = AGAIN_S) -> None:
        if not self._releasing:
            self._releasing = True
            asyncio.get_running_loop().call_later(after_s, self._release)

    def _release(self) -> None:
        self._releasing = False
        if self._look():
            self.release_soon()
        detained, self.channels = self.channels, {}
        self._count = self._bytes = 0
        for channel, items in detained.items():
            # What was refused comes here after what was held back behind it.
            items.sort(key=lambda item: item.number)
            if not self._give(channel, items):
                self.add(items)
