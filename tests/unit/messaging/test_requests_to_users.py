"""Reaching all connections of one user: what each receipt says, and when nobody can know."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from gateway.errors import BrokerUnavailable
from gateway.messaging.requests_to_users import AT_ONCE, Found, RequestsToUsers
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt, Sent
from gateway.registry.base import Entry
from tests.support.ids import new_connection_id


class Owners:
    """Sender and registry: gives each connection the receipt that it is given."""

    def __init__(self, receipts: Mapping[ConnectionId, Receipt]) -> None:
        self.receipts = receipts
        self.asked: list[tuple[str, object]] = []
        self.at_once = self.most_at_once = 0

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        return await self._answer(connection, (text, key))

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt:
        return await self._answer(connection, (code, reason))

    async def subscribe(self, connection: str, channel: str) -> Receipt:
        return await self._answer(connection, channel)

    async def unsubscribe(self, connection: str, channel: str) -> Receipt:
        return await self._answer(connection, channel)

    async def find(self, user: str) -> Found:
        entry = Entry(user, "192.0.2.1", "", "text", 0)
        return [(name, entry) for name in self.receipts]

    async def _answer(self, connection: str, what: object) -> Receipt:
        self.asked.append((connection, what))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return self.receipts[ConnectionId(connection)]


async def test_every_connection_has_the_receipt_that_its_owner_gave() -> None:
    receipts = {new_connection_id(): receipt for receipt in Receipt}
    owners = Owners(receipts)
    requests_to_users = RequestsToUsers(owners, owners.find)
    each = [Sent(name, receipt) for name, receipt in receipts.items()]

    assert await requests_to_users.send("ali", "hello", key="k") == each
    assert await requests_to_users.disconnect("ali", 4000, "moved") == each
    assert owners.asked == [
        *((name, ("hello", "k")) for name in receipts),
        *((name, (4000, "moved")) for name in receipts),
    ]


async def test_one_call_has_a_bounded_number_of_questions_under_way() -> None:
    owners = Owners({new_connection_id(): Receipt.WRITTEN for _ in range(AT_ONCE + 1)})

    sent = await RequestsToUsers(owners, owners.find).send("ali", "hello")

    assert len(sent) == AT_ONCE + 1
    assert owners.most_at_once == AT_ONCE


async def test_who_has_no_name_is_nobody() -> None:
    """Red when the user of an anonymous connection finds all the others that are anonymous."""
    owners = Owners({new_connection_id(): Receipt.WRITTEN})

    with pytest.raises(TypeError, match="user is NoneType, not str"):
        await RequestsToUsers(owners, owners.find).send(None, "hello")  # type: ignore[arg-type]
    assert owners.asked == []


async def test_a_registry_that_does_not_answer_is_said_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(user: str) -> Found:
        return await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("gateway.messaging.registry_turns.QUESTION_S", 0.05)
    owners = Owners({})

    with pytest.raises(BrokerUnavailable, match="does not answer"):
        await RequestsToUsers(owners, never).send("ali", "hello")
