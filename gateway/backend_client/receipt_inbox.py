"""How questions of a process that is no worker get to owners, and answers back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from gateway.broker.base import Resync
from gateway.broker.redis import RedisBroker
from gateway.errors import BrokerUnavailable
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.envelopes.requests_to_owners import Question, Receipted
from gateway.protocol.envelopes.wire import encode, hint, read
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys

RETRY_S: Final = 0.01


class ClientInbox:
    """This process's channel, and the way out of it (``RequestTransport``)."""

    def __init__(self, me: WorkerId, broker: RedisBroker, prefix: str) -> None:
        self.requests_to_owners: RequestsToOwners | None = None
        self._me = me
        self._broker = broker
        self._prefix = prefix
        self._waiting: list[tuple[WorkerId, Question]] = []
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
        """Publish what has collected, all in one round trip, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            asked, self._waiting = self._waiting, []
            outgoing = [
                (keys.inbox(self._prefix, owner), hint(self._me, question))
                for owner, question in asked
            ]
            try:
                reached = await self._broker.publish(outgoing)
            except BrokerUnavailable:
                for _, question in asked:
                    self._requests.unreachable(question.number)
                continue
            for owner in {o for (o, _), n in zip(asked, reached, strict=True) if not n}:
                self._requests.worker_gone(owner)

    async def can_publish(self) -> None:
        """Return once there is a connection that publishes."""
        probe = (keys.inbox(self._prefix, self._me), b"")
        while True:
            try:
                await self._broker.publish([probe])
            except BrokerUnavailable:
                await asyncio.sleep(RETRY_S)
            else:
                return

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
