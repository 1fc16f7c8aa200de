"""Too much for somebody: a flood, a client that does not read, a hot channel beside quiet ones.

What others wait is compared within one run, as medians of several windows: this machine and its
neighbours are not always as fast.
"""

from __future__ import annotations

import asyncio
import statistics

from tests.faults.channel_stand import LONG, SUBSCRIBERS, serve
from tests.faults.conftest import Report
from tests.support.centrifuge_client import centrifuge_client
from tests.support.channel_crowd import ChannelCrowd
from tests.support.channel_ledger import ChannelLedger
from tests.support.channel_publisher import ChannelPublisher
from tests.support.stand import Stand
from tests.support.waiting import eventually

WINDOWS = 5
WINDOW_S = 1.0
HOT, QUIET = 2500, 500  # half of 5,000 and 1,000: two cores have both ends of every socket


async def p99_ms(ledger: ChannelLedger) -> float:
    """What a publication takes to arrive: the median of the windows' 99th percentiles."""
    found = []
    for _ in range(WINDOWS):
        ledger.delays_s = []
        await asyncio.sleep(WINDOW_S)
        found.append(statistics.quantiles(ledger.delays_s, n=100)[98] * 1000)
    ledger.delays_s = None
    return statistics.median(found)


async def test_one_of_a_thousand_does_not_read_a_flood(stand: Stand, report: Report) -> None:
    """It is dropped with 3008; the others get everything and wait no longer than before it came."""
    served = await serve(stand)
    flooded = {"long:flood": LONG["long:0"]}
    names = list(LONG)

    def channels_of(number: int) -> list[str]:
        return [names[number % len(names)], *([] if number % 50 else flooded)]

    async with (
        ChannelCrowd([served.port], SUBSCRIBERS - 1, channels_of, recoverable=True) as crowd,
        ChannelPublisher(stand.redis.url, LONG, crowd.ledger, per_second=10) as publisher,
        ChannelPublisher(
            stand.redis.url, flooded, crowd.ledger, per_second=200, padding=8000
        ) as flood,
    ):
        ledger = crowd.ledger
        publisher.start()
        flood.start()
        await asyncio.sleep(1)
        before_ms = await p99_ms(ledger)
        async with centrifuge_client(served.port) as deaf:
            deaf.say(deaf.command(subscribe={"channel": "long:flood", "recoverable": True}))
            deaf.raw.stop_reading()
            beside_ms = await p99_ms(ledger)
            await eventually(
                lambda: served.metric("gateway_connections_closed_total", code="3008") == 1,
                "the close with 3008",
                15,
            )
        await publisher.stop()
        await flood.stop()
        await crowd.caught_up()

        report(ledger)
        print(f"p99 {before_ms:.1f} ms before, {beside_ms:.1f} ms beside it")
        assert not ledger.broken
        assert not ledger.closes
        assert not ledger.ends
        assert beside_ms <= 2 * before_ms


async def test_a_hot_channel_beside_quiet_ones(stand: Stand, report: Report) -> None:
    """Its subscribers get all of it, and those of quiet channels wait for no backlog."""
    served = [await serve(stand) for _ in range(2)]
    hot = {"long:0": LONG["long:0"]}
    quiet = {name: history for name, history in LONG.items() if name not in hot}
    ports = [s.port for s in served]
    names = list(quiet)
    async with (
        ChannelCrowd(ports, QUIET, lambda n: [names[n % len(names)]], recoverable=True) as few,
        ChannelCrowd(ports, HOT, lambda n: ["long:0"], recoverable=True) as many,
        ChannelPublisher(stand.redis.url, quiet, few.ledger, per_second=5) as slow,
        ChannelPublisher(stand.redis.url, hot, many.ledger, per_second=5) as fast,
    ):
        slow.start()
        await asyncio.sleep(1)
        before_ms = await p99_ms(few.ledger)
        fast.start()
        hot_ms = await p99_ms(few.ledger)
        many_ms = await p99_ms(many.ledger)
        await fast.stop()
        await slow.stop()
        await few.caught_up()
        await many.caught_up()

        report(few.ledger)
        report(many.ledger)
        print(f"p99 {before_ms:.1f} ms before, {hot_ms:.1f} ms beside it, {many_ms:.1f} ms in it")
        for ledger in (few.ledger, many.ledger):
            assert not ledger.broken
            assert not ledger.closes
            assert not ledger.ends
        assert many_ms < 500
        assert hot_ms < many_ms + 50
