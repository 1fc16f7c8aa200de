"""A worker dies with its subscribers: they recover what they missed, or are told that they cannot.

Ledgers are by (epoch, offset): published = delivered + declared missing, none twice, in order.
"""

from __future__ import annotations

import asyncio

from tests.faults.channel_stand import LONG, SHORT, SUBSCRIBERS, serve
from tests.faults.conftest import Report
from tests.support.channel_crowd import ChannelCrowd
from tests.support.channel_publisher import ChannelPublisher
from tests.support.stand import Stand

FEW = 100


async def test_a_worker_is_killed_with_a_thousand_subscribers(stand: Stand, report: Report) -> None:
    """All are back through the other worker with ``recovered: true``, and nothing is lost. Those
    whose channel keeps one publication are told ``recovered: false``, every one of them.

    Red when the reply says that it has recovered and gives nothing of what was missed.
    """
    served = [await serve(stand) for _ in range(2)]
    first, second = (s.port for s in served)
    long, short = list(LONG), list(SHORT)[:2]
    async with (
        ChannelCrowd([first], SUBSCRIBERS, lambda n: [long[n % 10]], recoverable=True) as crowd,
        ChannelCrowd([first], FEW, lambda n: [short[n % 2]], recoverable=True) as few,
        ChannelPublisher(stand.redis.url, LONG, crowd.ledger) as publisher,
        ChannelPublisher(stand.redis.url, {n: SHORT[n] for n in short}, few.ledger) as other,
    ):
        publisher.start()
        other.start()
        await asyncio.sleep(2)
        crowd.ports = few.ports = [first, second]  # half of them find nobody at first
        stand.worker_of(served[0]).kill()
        await asyncio.sleep(0.5)
        crowd.ports = few.ports = [second]
        await crowd.everybody()
        await few.everybody()
        await asyncio.sleep(1)
        await publisher.stop()
        await other.stop()
        await crowd.caught_up()
        await few.caught_up()

        report(crowd.ledger)
        report(few.ledger)
        for ledger, size in ((crowd.ledger, SUBSCRIBERS), (few.ledger, FEW)):
            assert not ledger.broken
            assert ledger.closes == {1006: size}
        assert (crowd.ledger.recovered, crowd.ledger.not_recovered) == (SUBSCRIBERS, 0)
        assert (few.ledger.recovered, few.ledger.not_recovered) == (0, FEW)
