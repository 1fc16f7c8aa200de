"""To which inbox answers come while masters of a Cluster are away, and while none is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest

from gateway.backend_client import inbox_watch
from gateway.backend_client.inbox_watch import InboxWatch
from gateway.backend_client.receipt_inbox import ClientInbox
from gateway.broker.memory import MemoryBroker
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from tests.support.logs import capture_logs
from tests.support.waiting import eventually

FIRST = WorkerId("0-first")


class Away:
    """The publisher to a master that is away."""

    connected = False


class Masters(MemoryBroker):
    """Three, by the first letter of the id.

    Attributes:
        away: Those that are.
        deaf: Those that take publications, and no subscription.
        asked: The channels that were subscribed to, each time.
        routed: How often somebody asked who publishes in a channel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.away: set[str] = set()
        self.deaf: set[str] = set()
        self.asked: list[str] = []
        self.routed = 0
        self.changed = asyncio.Event()

    def _master_of(self, channel: str) -> str:
        return channel.removeprefix(keys.inbox("gw", WorkerId("")))[0]

    def route(self, channel: str) -> MemoryBroker:
        self.routed += 1
        return Away() if self._master_of(channel) in self.away else self  # type: ignore[return-value]

    async def subscribe(self, channel: str) -> None:
        self.asked.append(channel)
        while self._master_of(channel) in self.away | self.deaf:
            self.changed.clear()
            await self.changed.wait()

    def now_away(self, *masters: str) -> None:
        self.away = set(masters)
        self.changed.set()


@pytest.fixture
async def masters(monkeypatch: pytest.MonkeyPatch) -> Masters:
    monkeypatch.setattr(inbox_watch, "LOOK_S", 0.001)
    monkeypatch.setattr(inbox_watch, "STANDS_S", 0.005)
    return Masters()


@pytest.fixture
async def inbox(masters: Masters) -> AsyncIterator[ClientInbox]:
    made = ClientInbox(FIRST, masters, "gw")
    drawn = (WorkerId(f"{n % 3}-{n}") for n in itertools.count())
    watching = asyncio.create_task(
        InboxWatch(made, masters, "gw", draw=drawn.__next__).run(), name="watch"
    )
    yield made
    assert not watching.done()
    watching.cancel()
    await asyncio.wait({watching})


async def looks(masters: Masters, count: int = 3) -> None:
    before = len(masters.asked)
    await eventually(lambda: len(masters.asked) >= before + count, "looks")


async def test_while_its_master_is_there_the_first_inbox_stays(
    masters: Masters, inbox: ClientInbox
) -> None:
    await looks(masters)

    assert inbox.me == FIRST
    assert set(masters.asked) == {keys.inbox("gw", FIRST)}


async def test_answers_come_to_an_inbox_at_a_master_that_is_there(
    masters: Masters, inbox: ClientInbox
) -> None:
    """Those of before are taken again, however often masters go. Red when none is ever drawn anew,
    and when one is drawn each time.
    """
    with capture_logs() as logs:
        masters.now_away("0")
        await eventually(lambda: inbox.me[0] == "1", "another inbox")
        second = inbox.me
        for there, back in (("1", FIRST), ("0", second), ("1", FIRST)):
            masters.now_away(there)
            await eventually(lambda back=back: inbox.me == back, "the one of before")  # type: ignore[misc]
        masters.now_away("0", "1")
        await eventually(lambda: inbox.me[0] == "2", "a third")

    assert len(set(masters.asked)) == 3
    changes = [line for line in logs if line["event"] == "answers come to another inbox"]
    assert [line["client"] for line in changes][:2] == [second, FIRST]


async def test_that_answers_come_nowhere_is_said_once_an_outage(
    masters: Masters, inbox: ClientInbox
) -> None:
    """Red without a word: receipts are lost for as long as it lasts, and nothing tells of it."""
    with capture_logs() as logs:
        masters.deaf = {"0", "1", "2"}
        masters.now_away()
        masters.away = {"0", "1", "2"}
        await eventually(lambda: logs, "a word")
        before = masters.routed
        await eventually(lambda: masters.routed > before + 20, "looks")

    said = [line for line in logs if line["event"] == "answers come to no inbox"]
    assert [line["client"] for line in said] == [FIRST]


async def test_while_nobody_is_there_nothing_collects(
    masters: Masters, inbox: ClientInbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor where masters take publications, and no subscription. Red without a bound."""
    monkeypatch.setattr(inbox_watch, "MAX_DRAWS", 5)
    monkeypatch.setattr(inbox_watch, "MAX_INBOXES", 4)
    masters.now_away("0", "1", "2")
    masters.asked.clear()  # by looks of before
    await eventually(lambda: masters.routed > 20, "looks")
    assert masters.asked == [keys.inbox("gw", FIRST)]
    masters.deaf = {"0", "1", "2"}
    masters.now_away()
    await eventually(lambda: len(set(masters.asked)) == 4, "all that it may")
    before = masters.routed
    await eventually(lambda: masters.routed > before + 20, "looks")

    assert len(masters.asked) == 4  # each once
    assert inbox.me == FIRST
    masters.deaf = set()
    masters.now_away()
    await looks(masters)
    assert len(set(masters.asked)) == 4
