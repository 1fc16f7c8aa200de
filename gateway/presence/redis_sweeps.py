"""What dead workers leave, in Redis: found and taken away where masters are reached."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Final

from gateway.errors import BrokerUnavailable
from gateway.presence.base import PAGE, Page
from gateway.presence.redis_calls import SWEPT, PresenceCalls, chunks_of
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.calls import to_its_end
from gateway.redis_support.commands import is_unreached

CHANNELS: Final = 50  # that are read together


class RedisPresenceSweeps(PresenceCalls):
    """The part of ``PresenceStore`` by which members are swept."""

    async def pages_of(self, worker: WorkerId) -> AsyncIterator[Page]:
        cursor, left = None, _Left(worker)
        while cursor != 0:
            cursor, channels = await self._some_channels(worker, cursor or 0)
            open_at = dict.fromkeys(channels, 0)
            while open_at:
                some = dict(itertools.islice(open_at.items(), CHANNELS))
                page, cursors = await self._page(worker, some, left)
                for channel in some:
                    if cursors.get(channel):
                        open_at[channel] = cursors[channel]
                    else:
                        del open_at[channel]
                if page.channels:
                    yield page
        left.raise_if_any()

    @to_its_end
    async def _some_channels(self, worker: WorkerId, cursor: int) -> tuple[int, list[str]]:
        key = keys.subscribed(self._prefix, worker)
        ((at, some),) = await self._execute([("HSCAN", key, cursor, "COUNT", CHANNELS)])
        return int(at), [channel.decode(errors="replace") for channel in some if channel]

    @to_its_end
    async def _page(
        self, worker: WorkerId, channels: Mapping[str, int], left: _Left
    ) -> tuple[Page, dict[str, int]]:
        count = PAGE // len(channels)
        replies = await self._reach([
            ("HSCAN", keys.presence(self._prefix, channel, worker), cursor, "COUNT", count)
            for channel, cursor in channels.items()
        ])  # fmt: skip
        found = left.without(zip(channels, replies, strict=True))
        members = [(channel, info) for channel, (_, some) in found for info in self._infos(some)]
        return Page([channel for channel, _ in found], members), {
            channel: int(at) for channel, (at, _) in found
        }

    @to_its_end
    async def remove(self, worker: WorkerId, page: Page) -> None:
        going: dict[str, list[tuple[str, None]]] = {channel: [] for channel in page.channels}
        for channel, info in page.members:
            going.setdefault(channel, []).append((info.client, None))
        calls, channels = [], []
        for channel, clients in going.items():
            for chunk in chunks_of(clients):
                calls.append(self._write_call(worker, SWEPT, channel, chunk, sweeping=True))
                channels.append(channel)
        left = _Left(worker)
        done = left.without(zip(channels, await self._reach(calls), strict=True))
        empty = [channel for channel, members in done if not members]
        if empty:
            await self._execute([("HDEL", keys.subscribed(self._prefix, worker), *empty)])
        left.raise_if_any()


class _Left:
    """Channels of a worker whose masters were not reached: for later."""

    def __init__(self, worker: WorkerId) -> None:
        self._worker = worker
        self._errors: dict[str, Exception] = {}

    def without(self, replies: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
        """Channels and replies, but for those that are left."""
        reached = []
        for channel, reply in replies:
            if is_unreached(reply):
                self._errors[channel] = reply
            else:
                reached.append((channel, reply))
        return [one for one in reached if one[0] not in self._errors]

    def raise_if_any(self) -> None:
        """Raise BrokerUnavailable for those that are left."""
        if self._errors:
            some = f"{len(self._errors)} channels of {self._worker} are left"
            error = next(iter(self._errors.values()))
            raise BrokerUnavailable(f"{some}: {error}") from error
