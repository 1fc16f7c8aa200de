"""What is known of a gateway and a Redis that are far away."""

from __future__ import annotations

import os
from pathlib import Path

from loadtest.metrics import read
from loadtest.observer import Meter, Observer, gateway_from_afar, redis_from_afar
from loadtest.record import Sample
from loadtest.stands.base import Stand
from tests.support.serve import Served
from tests.support.waiting import blocking_eventually

EXPORTER = """\
# TYPE redis_cpu_sys_seconds_total counter
redis_cpu_sys_seconds_total {sys}
# TYPE redis_cpu_user_seconds_total counter
redis_cpu_user_seconds_total {user}
# TYPE redis_memory_used_bytes gauge
redis_memory_used_bytes 1.5e+06
"""


def test_the_first_look_at_a_counter_says_nothing() -> None:
    assert Meter().percent(10.0, 5.0) is None


def test_cpu_is_what_a_counter_grew_by() -> None:
    meter = Meter()
    meter.percent(10.0, 5.0)

    assert meter.percent(12.0, 6.0) == 50.0


def test_what_is_long_ago_is_forgotten() -> None:
    meter = Meter()
    for second in range(20):
        meter.percent(float(second), 100.0)

    assert meter.percent(20.0, 102.0) == 50.0  # of the last four seconds


def test_a_counter_that_begins_anew_is_no_negative_cpu() -> None:
    meter = Meter()
    meter.percent(10.0, 5.0)

    assert meter.percent(11.0, 0.5) is None


def test_both_parts_of_redis_cpu_are_added_up() -> None:
    meter, sample = Meter(), Sample(at_unix_s=11.0)
    meter.percent(10.0, 3.0)

    redis_from_afar(sample, read(EXPORTER.format(sys=1.25, user=2.25)), meter)

    assert (sample.redis_cpu, sample.redis_bytes) == (50.0, 1_500_000)


def test_a_gateway_that_tells_nothing_has_no_figures() -> None:
    sample = Sample(at_unix_s=11.0)

    gateway_from_afar(sample, {"gateway_connections": 3.0}, Meter())

    assert (sample.gateway_cpu, sample.gateway_bytes, sample.gateway_files) == (None, None, None)


def test_a_gateway_elsewhere_is_seen_by_its_metrics(tmp_path: Path) -> None:
    with Served(tmp_path, "--workers", "2") as served:
        observer = Observer(Stand(served.url, "", ""))  # one that does not look for processes
        seen: list[Sample] = []

        def looked() -> bool:
            seen.append(observer.look())
            return seen[-1].gateway_cpu is not None

        blocking_eventually(looked, "CPU of the gateway", 10.0)
        two_pythons_bytes = 2 * 10_000_000
        assert (seen[-1].gateway_bytes or 0) > two_pythons_bytes
        assert 0 <= (seen[-1].gateway_cpu or 0) < 100 * (os.cpu_count() or 1)
