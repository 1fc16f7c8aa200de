"""Which channels there are, page by page, while some of them come and go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from gateway.channels.channels import Channels
from gateway.channels.lists import ChannelLists
from gateway.messaging.channel_survey import ChannelSurvey
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.envelopes.requests_to_owners import ListChannels, Receipted
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import Leases, WorkerInfo
from tests.support.ids import new_worker_id


class Workers:
    """Some workers' channels, each with its number of subscribers.

    Attributes:
        ending: Channels that end at the first worker while it lists them.
    """

    def __init__(self, *channels: dict[str, int]) -> None:
        self.of = {new_worker_id(): one for one in channels}
        self.ending = ""

    async def look(self) -> Leases:
        info = WorkerInfo(edge=True, handler=True)
        return Leases(1, dict.fromkeys(self.of, (2, info)), set(), 0)

    @asynccontextmanager
    async def asking_registry(self) -> AsyncIterator[None]:
        yield

    async def channels_at(
        self, worker: WorkerId, *, pattern: str, after: str, limit: int
    ) -> Receipted:
        answered: asyncio.Future[Receipted] = asyncio.get_running_loop().create_future()
        lists = ChannelLists(
            cast(Channels, OneWorker(self.of[worker])),
            answer=lambda _to, receipted, _unlinked: answered.set_result(receipted),
        )
        lists.asked(worker, ListChannels(1, pattern, after, limit, False))
        await asyncio.sleep(0)
        if worker == next(iter(self.of)):
            for name in self.ending:
                self.of[worker].pop(name, None)
        return await answered

    def survey(self) -> ChannelSurvey:
        return ChannelSurvey(cast(RequestsToOwners, self), self, cast(RequestsToUsers, self))

    async def pages(self, limit: int) -> list[dict[str, int]]:
        found, after = [], ""
        while True:
            page = await self.survey().page(after=after, limit=limit)
            found.append(page.channels)
            after = page.after
            if not after:
                return found


class OneWorker:
    """What ``ChannelLists`` asks of ``Channels``."""

    def __init__(self, channels: dict[str, int]) -> None:
        self._channels = channels

    def names(self) -> list[str]:
        return list(self._channels)

    def subscribers_of(self, channel: str) -> int:
        return self._channels.get(channel, 0)


async def test_subscribers_at_several_workers_are_added_up() -> None:
    workers = Workers({"a": 1, "c": 2, "lingers": 0}, {"a": 3, "b": 1})

    assert await workers.pages(2) == [{"a": 4, "b": 1}, {"c": 2}]


async def test_a_channel_that_ends_while_it_is_listed_ends_no_listing() -> None:
    workers = Workers(dict.fromkeys("abcdef", 1))
    workers.ending = "b"

    pages = await workers.pages(2)

    assert {name for page in pages for name in page} == set("acdef")


async def test_what_ends_at_one_worker_hides_nothing_of_its_others() -> None:
    """Its list reaches as far as the page of all."""
    workers = Workers(dict.fromkeys("abcdf", 1), dict.fromkeys("cde", 1))
    workers.ending = "ab"

    pages = await workers.pages(2)

    assert {name: n for page in pages for name, n in page.items()} == {
        "c": 2, "d": 2, "e": 1, "f": 1,
    }  # fmt: skip
