"""How questions of a process that is no worker get to owners, and answers back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final

from gateway.broker.base import Broker, Publisher, Resync
from gateway.errors import BrokerUnavailable
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.envelopes.requests_to_owners import Question, Receipted
from gateway.protocol.envelopes.wire import encode, hint, read
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys

RETRY_S: Final = 0.01
OTHERS_S: Final = 1.0  # that the other masters of a Cluster are waited for

_Asked = tuple[WorkerId, Question]


class ClientInbox:
    """This process's channel, and the way out of it (``RequestTransport``).

    Attributes:
        me: Under this id it asks, and to the inbox of this id answers go.
    """

    def __init__(self, me: WorkerId, broker: Broker, prefix: str) -> None:
        self.requests_to_owners: RequestsToOwners | None = None
        self.me = me
        self._broker = broker
        self._prefix = prefix
        self._waiting: list[_Asked] = []
        self._under_way: set[Publisher] = set()  # who has been given something
        self._work = asyncio.Event()

    def knows(self, owner: WorkerId) -> bool:  # noqa: ARG002
        """True: a PUBLISH that reaches nobody tells as much as a look beforehand would."""
        return True

    def ask(self, owner: WorkerId, question: Question) -> bool:
        encode(question)  # only for its bounds
        self._waiting.append((owner, question))
        self._work.set()
        return True

    async def run(self) -> None:
        """Publish what has collected, one round trip at a time to each server, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            self._leave()

    def _leave(self) -> None:
        asked: dict[Publisher, list[_Asked]] = {}
        waiting, self._waiting = self._waiting, []
        for owner, question in waiting:
            publisher = self._broker.route(keys.inbox(self._prefix, owner))
            if publisher in self._under_way:
                self._waiting.append((owner, question))
            else:
                asked.setdefault(publisher, []).append((owner, question))
        for publisher, theirs in asked.items():
            self._under_way.add(publisher)
            published = publisher.publish(
                [
                    (keys.inbox(self._prefix, owner), hint(self.me, question))
                    for owner, question in theirs
                ]
            )
            published.add_done_callback(partial(self._left, publisher, theirs))

    def _left(
        self, publisher: Publisher, asked: list[_Asked], published: asyncio.Future[list[int]]
    ) -> None:
        self._under_way.discard(publisher)
        if self._waiting:
            self._work.set()
        if published.cancelled():
            return
        if published.exception() is not None:
            for _, question in asked:
                self._requests.unreachable(question.number)
            return
        reached = published.result()
        for owner in {o for (o, _), n in zip(asked, reached, strict=True) if not n}:
            self._requests.worker_gone(owner)

    async def can_publish(self) -> None:
        """Return once there is a connection that publishes; in a Cluster to all, if they are up."""
        probe = (keys.inbox(self._prefix, self.me), b"")
        while True:
            try:
                await self._broker.publish([probe])
            except BrokerUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                break
        with suppress(TimeoutError):
            async with asyncio.timeout(OTHERS_S):
                while not self._broker.connected:  # noqa: ASYNC110 (it tells nobody)
                    await asyncio.sleep(RETRY_S)

    def on_deliveries(self, deliveries: Sequence[tuple[str, bytes]]) -> None:
        for _, payload in deliveries:
            batch = read(payload)
            if batch is not None:
                for envelope in batch.envelopes:
                    if isinstance(envelope, Receipted):
                        self._requests.answered(batch.header.sender, envelope)

    def on_resync(self, resync: Resync) -> None:
        """What was lost will be UNREACHABLE."""

    @property
    def _requests(self) -> RequestsToOwners:
        assert self.requests_to_owners is not None
        return self.requests_to_owners
