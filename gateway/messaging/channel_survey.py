"""Which channels there are: every worker that holds sockets is asked, and counts are added up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases
from gateway.protocol.receipt import Receipt

MAX_LIMIT: Final = 1000
MAX_PATTERN: Final = 255
DEFAULT_LIMIT: Final = 100


class SurveyedChannels(NamedTuple):
    """A page of the channels that have subscribers.

    Attributes:
        channels: How many subscribers each has, by name, in order. Those that end while they are
            listed are left out, so there may be few of them, and more on the next page.
        after: The name behind which the next page begins; empty if there is none.
        unanswered: Workers that have not answered in 2 s: what they hold is missing.
    """

    channels: dict[str, int]
    after: str
    unanswered: Sequence[WorkerId]


class LeasesOf(Protocol):
    async def look(self) -> Leases: ...


class Survey(Protocol):
    """What lists channels."""

    async def page(
        self, *, pattern: str = "*", after: str = "", limit: int = DEFAULT_LIMIT
    ) -> SurveyedChannels: ...


class ChannelSurvey:
    """Asks all workers. One per process.

    Args:
        asking: Bounds the questions to ``leases``.
    """

    def __init__(
        self, requests: RequestsToOwners, leases: LeasesOf, asking: RequestsToUsers
    ) -> None:
        self._requests = requests
        self._leases = leases
        self._asking = asking

    async def page(
        self, *, pattern: str = "*", after: str = "", limit: int = DEFAULT_LIMIT
    ) -> SurveyedChannels:
        """The first ``limit`` channels behind ``after`` whose names match.

        Every worker tells its first ones: so each that belongs to the page has its whole number.

        Args:
            pattern: As of a shell: ``*``, ``?``, ``[…]``. At most 255 characters.
            limit: 1 to 1000.

        Raises:
            ValueError: The pattern is too long, or the limit out of bounds.
            BrokerUnavailable: Nobody knows which workers there are.
        """
        if not 1 <= limit <= MAX_LIMIT:
            raise ValueError(f"limit={limit} is not 1 to {MAX_LIMIT}")
        if len(pattern) > MAX_PATTERN:
            raise ValueError(f"the pattern has {len(pattern)} characters, over {MAX_PATTERN}")
        async with self._asking.asking_registry():
            leases = await self._leases.look()
        workers = [
            worker
            for worker, (_, info) in sorted(leases.workers.items())
            if info.edge and worker not in leases.fenced
        ]
        asked = (
            self._requests.channels_at(worker, pattern=pattern, after=after, limit=limit + 1)
            for worker in workers
        )
        answers = await asyncio.gather(*asked)
        counts: Counter[str] = Counter()
        for told in answers:
            counts.update(dict(told.channels or ()))
        names = sorted(counts)
        page = names[:limit]
        return SurveyedChannels(
            {name: counts[name] for name in page if counts[name]},
            page[-1] if len(names) > limit else "",
            [
                worker
                for worker, told in zip(workers, answers, strict=True)
                if told.receipt is Receipt.UNREACHABLE
            ],
        )
