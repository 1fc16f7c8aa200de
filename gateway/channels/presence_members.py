"""The members of this worker: who is in which channel, and what others know of that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from gateway.channels.presence_waits import resolve
from gateway.protocol.channel_messages import ClientInfo

Key = tuple[str, str]  # channel, client


class Member:
    """What is known of one client in one channel.

    Attributes:
        info: As it was last; kept when it has gone, for its leave.
        here: False: it has gone, and the store may not know.
        kept: Its namespace has presence: the store is to know of it.
        told: Others are to be told of its join and its leave.
        tried: The store may know of it.
        joined: Its join was told, and its leave is to be.
        waiting: Who waits for its state to be written.
    """

    __slots__ = ("here", "info", "joined", "kept", "told", "tried", "waiting")

    def __init__(self, info: ClientInfo, *, kept: bool, told: bool) -> None:
        self.info = info
        self.here = True
        self.kept = kept
        self.told = told
        self.tried = False
        self.joined = False
        self.waiting: list[asyncio.Future[None]] = []

    @property
    def kept_info(self) -> ClientInfo | None:
        """What the store is to have of it; None: nothing."""
        return self.info if self.here else None

    def resolve(self) -> None:
        """Its state is written."""
        waiting, self.waiting = self.waiting, []
        resolve(waiting)


class Members:
    """By channel and client, those too that have gone and may be in the store."""

    def __init__(self) -> None:
        self._channels: dict[str, dict[str, Member]] = {}

    @property
    def channels(self) -> list[str]:
        return list(self._channels)

    def add(self, key: Key, member: Member) -> None:
        channel, client = key
        self._channels.setdefault(channel, {})[client] = member

    def find(self, channel: str, client: str) -> Member | None:
        clients = self._channels.get(channel)
        return None if clients is None else clients.get(client)

    def forget(self, key: Key) -> None:
        channel, client = key
        clients = self._channels.get(channel, {})
        clients.pop(client, None)
        if not clients:
            self._channels.pop(channel, None)

    def kept(self) -> Iterator[tuple[Key, Member]]:
        """Those that the store is to know of."""
        for channel, clients in self._channels.items():
            for client, member in clients.items():
                if member.kept:
                    yield (channel, client), member

    def kept_in(self, channel: str) -> int:
        """How many of them are in a channel."""
        return sum(member.kept for member in self._channels.get(channel, {}).values())
