"""What a worker tells from its start on: its limits, its version, and counters at nothing."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest
from prometheus_client import Counter

from gateway.edge import admission, hosts, token_guard
from gateway.edge.refusal import Refusal
from gateway.edge.sessions.centrifuge import negotiation
from gateway.http_api.batch_calls import UNREADABLE
from gateway.http_api.commands import VERBS
from gateway.metrics import close_code_label, families
from gateway.protocol.receipt import Receipt
from gateway.redis_support import node
from tests.unit.metrics.test_metrics import Sample, sample, samples

BEGUN = """
import sys
from gateway import metrics
metrics.begin(version="1.2.3", max_connections=700, max_handlers=9, max_channels=60)
sys.stdout.buffer.write(metrics.exposition())
"""


@pytest.fixture(scope="module")
def begun() -> dict[Sample, float]:
    """What a worker tells that has counted nothing yet."""
    alone = {k: v for k, v in os.environ.items() if k != "PROMETHEUS_MULTIPROC_DIR"}
    read = subprocess.run(
        [sys.executable, "-c", BEGUN], env=alone, capture_output=True, check=True, timeout=30
    )
    return samples(read.stdout.decode())


def test_every_counter_with_labels_is_there_at_nothing(begun: dict[Sample, float]) -> None:
    """One that appears with its first count has no rate: the first failure raised no alert."""
    for expected in (
        sample("gateway_dispatches_total", path="remote", outcome="failed"),
        sample("gateway_connections_closed_total", code="1006"),
        sample("gateway_connections_closed_total", code="4xxx"),
        sample("gateway_handshakes_refused_total", reason="not_ready"),
        sample("gateway_sends_total", receipt="unreachable"),
        sample("gateway_api_requests_total", method="POST", status="503"),
    ):
        assert begun[expected] == 0.0


def test_the_labels_of_every_counter_are_known() -> None:
    labelled = {
        made for made in vars(families).values() if isinstance(made, Counter) and made._labelnames
    }

    assert labelled == {counter for counter, _ in families.KNOWN_LABELS}


def test_every_refusal_and_every_close_code_is_known() -> None:
    known = dict(families.KNOWN_LABELS)
    modules = (admission, hosts, negotiation, token_guard)
    told = [value for module in modules for value in vars(module).values()]
    refusals = {refusal.reason for refusal in told if isinstance(refusal, Refusal)}

    assert set(known[families.REFUSED][0]) == refusals - {admission.NOT_RUNNING.reason}
    assert set(known[families.CLOSED][0]) >= {close_code_label(c) for c in families.OWN_CLOSE_CODES}
    assert set(known[families.REDIS_ERRORS][0]) == set(node.KINDS)
    assert set(known[families.API_RESULTS][0]) == {*VERBS, UNREADABLE}
    assert set(known[families.SENDS][0]) == {receipt.value for receipt in Receipt}


def test_limits_and_the_build_are_told(begun: dict[Sample, float]) -> None:
    python = platform.python_version()

    assert begun[sample("gateway_build_info", version="1.2.3", python=python)] == 1.0
    assert begun[sample("gateway_max_connections")] == 700.0
    assert begun[sample("gateway_max_handlers")] == 9.0
    assert begun[sample("gateway_max_channels")] == 60.0
