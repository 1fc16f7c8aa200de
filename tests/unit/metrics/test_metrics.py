"""Metrics: what is counted arrives where Prometheus reads it, from all workers of a port."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Counters, close_code_label, exposition

# The table of the documentation: a name that changes breaks somebody's dashboard.
TYPES = {
    "gateway_connections": "gauge",
    "gateway_workers": "gauge",
    "gateway_handler_targets": "gauge",
    "gateway_edges_without_handlers": "gauge",
    "gateway_handler_workers": "gauge",
    "gateway_outbox_bytes": "gauge",
    "gateway_presence_members": "gauge",
    "gateway_presence_failing": "gauge",
    "gateway_canary_age_seconds": "gauge",
    "gateway_redis_unlocated": "gauge",
    "gateway_redis_sentinels_away": "gauge",
    "gateway_redis_quorum_lost": "gauge",
    "gateway_redis_slots_uncovered": "gauge",
    "gateway_redis_master_away": "gauge",
    "gateway_max_connections": "gauge",
    "gateway_max_handlers": "gauge",
    "gateway_handlers_running": "gauge",
    "gateway_max_channels": "gauge",
    "gateway_registry_waiting": "gauge",
    "gateway_worker_use_ratio": "gauge",
    "gateway_build_info": "gauge",
    "gateway_connections_opened_total": "counter",
    "gateway_connections_closed_total": "counter",
    "gateway_handshakes_refused_total": "counter",
    "gateway_messages_received_total": "counter",
    "gateway_messages_sent_total": "counter",
    "gateway_sends_total": "counter",
    "gateway_api_requests_total": "counter",
    "gateway_api_results_total": "counter",
    "gateway_dispatches_total": "counter",
    "gateway_dispatch_waits_total": "counter",
    "gateway_answers_not_taken_total": "counter",
    "gateway_link_batches_total": "counter",
    "gateway_link_envelopes_total": "counter",
    "gateway_link_resends_total": "counter",
    "gateway_link_polls_total": "counter",
    "gateway_link_early_total": "counter",
    "gateway_link_repeats_total": "counter",
    "gateway_envelopes_unreadable_total": "counter",
    "gateway_resyncs_total": "counter",
    "gateway_subscriptions": "gauge",
    "gateway_channels": "gauge",
    "gateway_publications_total": "counter",
    "gateway_publications_failed_total": "counter",
    "gateway_channel_resyncs_total": "counter",
    "gateway_channels_refused_total": "counter",
    "gateway_admin_keys_refused_total": "counter",
    "gateway_registry_busy_total": "counter",
    "gateway_registry_unanswered_total": "counter",
    "gateway_deliveries_total": "counter",
    "gateway_recoveries_total": "counter",
    "gateway_channel_gaps_total": "counter",
    "gateway_key_set_fetches_total": "counter",
    "gateway_spans_total": "counter",
    "gateway_redis_errors_total": "counter",
    "gateway_disconnects_given_up_total": "counter",
    "gateway_worker_deaths_total": "counter",
    "gateway_handler_seconds": "histogram",
    "gateway_answer_seconds": "histogram",
    "gateway_broker_roundtrip_seconds": "histogram",
    "gateway_loop_lag_seconds": "histogram",
}
PLAIN = {
    "opened": "gateway_connections_opened_total",
    "received": "gateway_messages_received_total",
    "sent": "gateway_messages_sent_total",
    "link_batches": "gateway_link_batches_total",
    "link_envelopes": "gateway_link_envelopes_total",
    "link_resends": "gateway_link_resends_total",
    "link_polls": "gateway_link_polls_total",
    "link_early": "gateway_link_early_total",
    "link_repeats": "gateway_link_repeats_total",
    "unreadable": "gateway_envelopes_unreadable_total",
    "resyncs": "gateway_resyncs_total",
    "given_up": "gateway_disconnects_given_up_total",
    "worker_deaths": "gateway_worker_deaths_total",
    "publications": "gateway_publications_total",
    "deliveries": "gateway_deliveries_total",
    "channel_resyncs": "gateway_channel_resyncs_total",
    "channels_refused": "gateway_channels_refused_total",
    "admin_keys_refused": "gateway_admin_keys_refused_total",
    "registry_busy": "gateway_registry_busy_total",
    "registry_unanswered": "gateway_registry_unanswered_total",
    "answers_not_taken": "gateway_answers_not_taken_total",
}
HISTOGRAMS = {
    "handler_seconds": "gateway_handler_seconds",
    "answer_seconds": "gateway_answer_seconds",
    "roundtrip_seconds": "gateway_broker_roundtrip_seconds",
    "loop_lag_seconds": "gateway_loop_lag_seconds",
}

A_PYTHON_BYTES = 5_000_000  # at least

Sample = tuple[str, frozenset[tuple[str, str]]]


def samples(text: str) -> dict[Sample, float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def sample(name: str, **labels: str) -> Sample:
    return name, frozenset(labels.items())


def growth(count: Callable[[], None]) -> dict[Sample, float]:
    """What ``count`` has changed in the exposition. Other tests count in this process too."""
    before = samples(exposition().decode())
    count()
    after = samples(exposition().decode())
    return {
        key: value - before.get(key, 0.0)
        for key, value in after.items()
        if value != before.get(key, 0.0)
        and key[0].startswith("gateway_")
        and key[0] != "gateway_worker_use_ratio"  # is not counted, and changes with every file
        and not key[0].endswith("_created")
    }


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_DIR", raising=False)


def test_every_metric_has_the_name_and_type_that_was_promised() -> None:
    types = dict(
        line.split(" ")[2:]
        for line in exposition().decode().splitlines()
        if line.startswith("# TYPE gateway_") and not line.endswith("_created gauge")
    )

    assert types == TYPES


def test_every_counter_is_tried_here() -> None:
    labelled = {
        "closed", "refused", "dispatches", "dispatch_waits", "sends", "api_requests",
        "api_results",
        "recoveries", "channel_gaps",
    }  # fmt: skip

    assert {*PLAIN, *HISTOGRAMS, *labelled} == set(Counters.__slots__)


# Folding


@pytest.mark.parametrize("name", PLAIN)
def test_folding_adds_what_was_counted(name: str) -> None:
    counters = Counters()
    setattr(counters, name, 3)

    assert growth(counters.fold) == {sample(PLAIN[name]): 3.0}


@pytest.mark.parametrize("name", PLAIN)
def test_what_was_folded_is_not_folded_again(name: str) -> None:
    counters = Counters()
    setattr(counters, name, 3)
    counters.fold()

    assert growth(counters.fold) == {}


def test_folding_keeps_labels_apart() -> None:
    counters = Counters()
    counters.closed[1000] += 2
    counters.closed[3001] += 1
    counters.refused["origin"] += 4
    counters.count_send("gone")
    counters.count_api_request("POST", 410)
    counters.count_api_result("publish", 503)
    counters.count_api_result("publish", 503)
    counters.dispatches["local", "answered"] += 5
    counters.dispatches["remote", "moved"] += 6
    counters.dispatch_waits["worker"] += 7
    counters.recoveries["recovered"] += 8
    counters.channel_gaps["lost_tail"] += 9

    assert growth(counters.fold) == {
        sample("gateway_connections_closed_total", code="1000"): 2.0,
        sample("gateway_connections_closed_total", code="3001"): 1.0,
        sample("gateway_handshakes_refused_total", reason="origin"): 4.0,
        sample("gateway_sends_total", receipt="gone"): 1.0,
        sample("gateway_api_requests_total", method="POST", status="410"): 1.0,
        sample("gateway_api_results_total", command="publish", status="503"): 2.0,
        sample("gateway_dispatches_total", path="local", outcome="answered"): 5.0,
        sample("gateway_dispatches_total", path="remote", outcome="moved"): 6.0,
        sample("gateway_dispatch_waits_total", where="worker"): 7.0,
        sample("gateway_recoveries_total", outcome="recovered"): 8.0,
        sample("gateway_channel_gaps_total", why="lost_tail"): 9.0,
    }


def test_labelled_counts_are_not_folded_again() -> None:
    counters = Counters()
    counters.closed[1000] += 2
    counters.fold()

    assert growth(counters.fold) == {}


@pytest.mark.parametrize("name", HISTOGRAMS)
def test_a_folded_duration_is_in_its_bucket_the_sum_and_the_count(name: str) -> None:
    counters = Counters()
    getattr(counters, name).observe(0.25)

    found = growth(counters.fold)

    metric = HISTOGRAMS[name]
    bounds = {dict(labels)["le"] for (key, labels) in found if key == f"{metric}_bucket"}
    assert bounds == {"0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "30.0", "+Inf"}
    assert found[sample(f"{metric}_sum")] == 0.25
    assert found[sample(f"{metric}_count")] == 1.0
    assert len(found) == len(bounds) + 2


def test_a_folded_duration_is_not_folded_again() -> None:
    counters = Counters()
    counters.handler_seconds.observe(0.25)
    counters.fold()

    assert growth(counters.fold) == {}


# Labels


@pytest.mark.parametrize(
    ("code", "label"),
    [
        *((code, str(code)) for code in (1000, 1001, 1005, 1006, 1009, 1011, 1012, 1015)),
        *((code, str(code)) for code in (3001, 3008, 3012, 3013)),
        (3000, "3xxx"),
        *((code, "4xxx") for code in (4000, 4999)),
        (1016, "1xxx"),
        (0, "0xxx"),
    ],
)
def test_our_own_close_codes_are_told_apart_and_others_are_not(code: int, label: str) -> None:
    assert close_code_label(code) == label


def test_no_client_or_application_can_make_the_labels_grow() -> None:
    assert len({close_code_label(code) for code in range(1000, 5000)}) == 16 + 15 + 4


# Several processes

WORKER = """
import math
import sys
from gateway import metrics
from gateway.metrics import Counters

share = int(sys.argv[1])
metrics.CONNECTIONS.set(share)
metrics.WORKERS.set(share)
metrics.EDGES_WITHOUT_HANDLERS.set(share == 5)
metrics.WORKER_USE.labels(of="handlers").set(share / 5)
counters = Counters()
counters.received = share
counters.closed[1000] += share
for _ in range(share):
    counters.handler_seconds.observe(0.25)
counters.fold()
metrics.MASTER_AWAY.labels(master="stays").set(1)
metrics.MASTER_AWAY.labels(master="left").set(math.nan if share == 5 else 0)
print("ready", flush=True)
sys.stdin.read()
"""
READER = "import sys; from gateway.metrics import exposition; sys.stdout.buffer.write(exposition())"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[dict[Sample, float]]:
    """What is read of a port that has one worker with a share of 2 and one with 5."""
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, share],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for share in ("2", "5")
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == b"ready\n"
        read = subprocess.run(
            [sys.executable, "-c", READER],
            env=environment,
            capture_output=True,
            check=True,
            timeout=30,
        )
        yield samples(read.stdout.decode())
    finally:
        for worker in workers:
            worker.communicate(timeout=30)


def test_with_a_folder_only_what_lies_there_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))

    assert samples(exposition().decode()) == {}


def test_the_numbers_of_all_workers_of_a_port_are_read_together(port: dict[Sample, float]) -> None:
    assert port[sample("gateway_messages_received_total")] == 7.0
    assert port[sample("gateway_connections_closed_total", code="1000")] == 7.0
    assert port[sample("gateway_handler_seconds_bucket", le="0.25")] == 7.0
    assert port[sample("gateway_handler_seconds_bucket", le="0.1")] == 0.0
    assert port[sample("gateway_handler_seconds_count")] == 7.0
    assert port[sample("gateway_handler_seconds_sum")] == pytest.approx(1.75)
    assert port[sample("gateway_connections")] == 7.0  # each holds its own
    assert port[sample("gateway_workers")] == 5.0  # all see the same ones
    assert port[sample("gateway_edges_without_handlers")] == 1.0  # the other has some
    assert port[sample("gateway_worker_use_ratio", of="handlers")] == 1.0  # the other has room
    assert port[sample("gateway_redis_master_away", master="stays")] == 2.0
    assert sample("gateway_redis_master_away", master="left") not in port


COUNTS_FILES = pytest.mark.skipif(
    Path("/proc/self/fd").stat().st_size == 0, reason="Linux before 6.2 does not count open files"
)


def test_memory_of_all_workers_of_a_port_is_added_up(port: dict[Sample, float]) -> None:
    most_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # of one with pytest
    memory_bytes = port[sample("process_resident_memory_bytes")]

    assert 2 * A_PYTHON_BYTES < memory_bytes < 2 * most_bytes


def test_cpu_time_of_the_workers_of_a_port_is_told(port: dict[Sample, float]) -> None:
    assert 0.02 < port[sample("process_cpu_seconds_total")] < 30


@COUNTS_FILES
def test_open_files_of_all_workers_of_a_port_are_added_up(port: dict[Sample, float]) -> None:
    assert 2 * 3 <= port[sample("process_open_fds")] < 2 * 50
