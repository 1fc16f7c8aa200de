"""A worker is replaced on purpose: its subscribers go on elsewhere, a few at a time."""

from __future__ import annotations

import asyncio
import signal
import statistics
from collections import Counter

from tests.faults.channel_stand import LONG, SUBSCRIBERS, serve
from tests.faults.conftest import Report
from tests.support.channel_crowd import ChannelCrowd
from tests.support.channel_publisher import ChannelPublisher
from tests.support.drained import most_early_s
from tests.support.stand import Stand
from tests.support.waiting import eventually

DRAIN_S = 8


async def test_a_rolling_restart_loses_no_publication(stand: Stand, report: Report) -> None:
    """Everybody is told 3001 once and recovers. They come back evenly over the window, of which the
    drain leaves a fifth for what was begun: no second has twice its share.

    Red when ``Drain`` closes everybody at once, and where nobody drains.
    """
    served = await serve(stand, "--workers", "2", GATEWAY_DRAIN_SECONDS=str(DRAIN_S))
    channels = list(LONG)
    async with (
        ChannelCrowd(
            [served.port], SUBSCRIBERS, lambda n: [channels[n % 10]], recoverable=True
        ) as crowd,
        ChannelPublisher(stand.redis.url, LONG, crowd.ledger, per_second=10) as publisher,
    ):
        ledger = crowd.ledger
        publisher.start()
        await asyncio.sleep(1)
        old = set(served.worker_pids())
        ledger.subscribed_at.clear()
        since = crowd.loop.time()
        served.signal(signal.SIGHUP)
        await eventually(
            lambda: ledger.closes[3001] >= SUBSCRIBERS, "everybody's close", 4 * DRAIN_S
        )
        await crowd.everybody()
        await publisher.stop()
        await crowd.caught_up()
        deciles = statistics.quantiles(ledger.subscribed_at, n=10)
        seconds = Counter(int(at - ledger.subscribed_at[0]) for at in ledger.subscribed_at)
        await eventually(lambda: not old & set(served.worker_pids()), "the old workers' exit", 20)

        report(ledger)
        print(f"subscribed again in each second: {dict(sorted(seconds.items()))}")
        assert not ledger.broken
        assert ledger.closes == {3001: SUBSCRIBERS}
        assert ledger.recovered == SUBSCRIBERS
        assert not ledger.not_recovered
        assert most_early_s(ledger.subscribed_at, since=since, window_s=DRAIN_S, workers=2) <= 0
        assert max(seconds.values()) <= 2 * SUBSCRIBERS / (0.8 * DRAIN_S)
        assert deciles[-1] - deciles[0] >= 0.75 * 0.8 * (0.8 * DRAIN_S)
