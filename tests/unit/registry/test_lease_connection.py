"""``LeaseConnection``: whose lease is renewed where, while the primary becomes another."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support.url import parse
from gateway.registry import lease_connection
from gateway.registry.lease_connection import Call, LeaseConnection

RENEWAL = Call("return 1", ["leases"])


class Made:
    """A connection that answers a turn later, until it is aborted."""

    every: list[Made]
    endpoint = None

    def __init__(self) -> None:
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.answered = 0
        self.every.append(self)

    @classmethod
    async def connect(cls, *_: object, **__: object) -> Made:
        await asyncio.sleep(0)
        return cls()

    def abort(self) -> None:
        if not self.lost.done():
            asyncio.get_running_loop().call_soon(self._lose)

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    async def execute(self, commands: list[object]) -> list[int]:
        await asyncio.sleep(0)
        if self.lost.done():
            raise BrokerUnavailable("it is lost")
        self.answered += 1
        return [1 for _ in commands]


@pytest.mark.parametrize("turns", range(10))
async def test_no_renewal_goes_to_the_primary_of_before(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a connection is taken that stood in the turn in which another primary was named:
    all renewals went to that of before, where nobody else looked, and this worker was buried.
    """
    made: list[Made] = []
    Made.every = made
    monkeypatch.setattr(lease_connection, "RedisConnection", Made)
    address = parse("redis://nowhere")
    lease = LeaseConnection(address, name="test")
    first = asyncio.create_task(lease.run(RENEWAL))
    for _ in range(turns):
        await asyncio.sleep(0)
    before = [*made]
    address.node.switched()
    with suppress(BrokerUnavailable):
        await first
    await asyncio.sleep(0)  # what was given up is lost in the next turn
    answered = [one.answered for one in before]

    assert await lease.run(RENEWAL) == [1]

    assert [one.answered for one in before] == answered
    assert made[-1].answered
    await lease.aclose()
