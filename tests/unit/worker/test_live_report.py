"""How a worker tells how it is, while somebody looks."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec

from gateway.metrics import Counters
from gateway.protocol.channel_messages import read_publication
from gateway.protocol.envelopes.reporting import Watched
from gateway.protocol.ids import WorkerId
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.reports import REPORTS
from gateway.worker.live_report import LiveReport

ME, OTHER = WorkerId("a" * 16), WorkerId("b" * 16)


class Bench:
    """A ``LiveReport``, its peers and its channel."""

    def __init__(self) -> None:
        self.time = 100.0
        self.pages = 0
        self.told: list[tuple[WorkerId, Watched]] = []
        self.published: list[dict[str, object]] = []
        self.failure: Exception | None = None
        self.report = LiveReport(
            ME,
            links=self,
            peers=lambda: [OTHER],
            state=lambda: {"version": "1.2.3"},
            info_of={OTHER: WorkerInfo(edge=True, handler=False, host="h", pid=7)}.get,
            subscribers=lambda: self.pages,
            publish=self.publish,
            now=lambda: self.time,
        )

    def tell(self, peer: WorkerId, envelope: Watched) -> None:
        self.told.append((peer, envelope))

    def publish(self, channel: str, body: bytes) -> asyncio.Future[object]:
        assert channel == REPORTS
        self.published.append(msgspec.json.decode(read_publication(body).data))
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.failure is None:
            done.set_result(None)
        else:
            done.set_exception(self.failure)
        return done

    def seconds(self, count: float) -> None:
        """Let so much time pass, in which it looks in as often as it does."""
        for _ in range(int(count * 2)):
            self.report.look_in()
            self.time += 0.5


async def test_nothing_is_sent_while_nobody_looks() -> None:
    bench = Bench()

    bench.seconds(60)

    assert (bench.told, bench.published) == ([], [])


async def test_who_looks_here_has_the_others_report_and_this_one_too() -> None:
    bench = Bench()
    bench.pages = 1

    bench.seconds(4)

    assert bench.told == [(OTHER, Watched(ME))] * 2
    assert len(bench.published) == 4
    assert bench.published[0]["worker"] == ME
    assert bench.published[0]["version"] == "1.2.3"


async def test_who_looks_elsewhere_is_told_for_as_long_as_it_says_so() -> None:
    bench = Bench()
    bench.report.watched()

    bench.seconds(60)

    assert bench.told == []
    assert len(bench.published) == 5


async def test_what_was_counted_is_told_in_all_and_a_second() -> None:
    bench = Bench()
    bench.report.watched()
    bench.seconds(1)
    counted = Counters()
    counted.received, counted.publications, counted.deliveries = 10, 3, 6
    counted.sends = Counter(written=4, gone=100)
    counted.dispatches = Counter({("local", "answered"): 7, ("remote", "answered"): 2,
                                  ("remote", "failed"): 100})  # fmt: skip
    bench.report.count(counted)

    bench.seconds(1)

    expected = {"received": 10, "handled": 9, "pushes": 4, "publications": 3, "deliveries": 6}
    assert bench.published[-1]["totals"] == expected
    assert bench.published[-1]["rates"] == expected


async def test_the_pages_here_are_told_what_workers_become_at_once_and_together() -> None:
    bench = Bench()
    bench.pages = 1

    bench.report.worker_became(OTHER, "live")
    bench.report.worker_became(ME, "gone")
    await asyncio.sleep(0)
    bench.report.worker_became(OTHER, "swept")  # nobody has said yet that somebody looks
    await asyncio.sleep(0)

    about = {"role": "edge", "host": "h", "pid": 7}
    assert bench.published == [
        {"changes": [{"id": OTHER, "state": "live", **about}, {"id": ME, "state": "gone"}]}
    ]


async def test_without_a_page_here_only_what_nobody_else_knows_is_told() -> None:
    bench = Bench()
    bench.report.watched()

    for became in ("live", "leaving", "fenced", "gone", "swept"):
        bench.report.worker_became(ME, became)
    await asyncio.sleep(0)

    assert bench.published == [{"changes": [{"id": ME, "state": "swept"}]}]


async def test_a_report_that_is_not_published_is_forgotten() -> None:
    bench = Bench()
    bench.failure = RuntimeError("no broker")
    bench.report.watched()

    bench.seconds(2)
    await asyncio.sleep(0)  # an exception that nobody takes fails the test

    assert len(bench.published) == 2
