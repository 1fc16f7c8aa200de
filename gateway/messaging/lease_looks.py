"""Looks at the leases for everybody who asks: one at a time, however many wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from gateway.errors import BrokerUnavailable
from gateway.log import get_logger
from gateway.protocol.leases import Leases

log = get_logger(__name__)


class LeaseLooks:
    """Looks at the leases, shared by those who asked before one began."""

    def __init__(self, look: Callable[[], Awaitable[Leases]]) -> None:
        self._look = look
        self._next: asyncio.Future[Leases] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def fresh(self) -> Leases:
        """The leases as of some moment after this call.

        Raises:
            BrokerUnavailable: Nobody can know now.
        """
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            if self._looking is None:
                self._looking = asyncio.create_task(self._run(), name="look")
        return await asyncio.shield(self._next)

    async def aclose(self) -> None:
        """Whoever waits is told that nobody can know."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _run(self) -> None:
        waited: asyncio.Future[Leases] | None = None
        try:
            while (waited := self._next) is not None:
                self._next = None
                try:
                    waited.set_result(await self._look())
                except Exception as error:
                    if not isinstance(error, BrokerUnavailable):
                        log.exception("leases not read")
                    _unknown(waited, repr(error))
        finally:
            self._looking = None
            for left in (waited, self._next):
                _unknown(left, "nobody looks any more")


def _unknown(waited: asyncio.Future[Leases] | None, why: str) -> None:
    if waited is not None and not waited.done():
        waited.set_exception(BrokerUnavailable(why))
        waited.exception()  # perhaps nobody waits any more
