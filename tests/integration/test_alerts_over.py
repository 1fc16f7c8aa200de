"""Alerts call nobody for what is over long before they do, by ``promtool``."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from gateway.metrics.families import SECONDS_BUCKETS
from tests.integration.test_alerts import RULES, case
from tests.support.alert_series import INTERVAL_S, Series, of_port, promtool

pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")


def burst(per_s: float, more_per_s: float) -> str:
    """So many a second, and for the 90 s from the tenth minute on more of them."""
    first, step = 20 * per_s * INTERVAL_S, (per_s + more_per_s) * INTERVAL_S
    last = first + 3 * step
    return (
        f"0+{per_s * INTERVAL_S:g}x20 {first + step:g}+{step:g}x2 "
        f"{last + per_s * INTERVAL_S:g}+{per_s * INTERVAL_S:g}x50"
    )


def late_for_a_while(name: str, seconds: float) -> Series:
    """Ten a second; and ten that take so long for 90 s."""
    bounds = [*map(str, SECONDS_BUCKETS), "+Inf"]
    return {
        f'{name}_bucket{{job="gateway",instance="a",le="{bound}"}}': burst(
            10 if float(bound) >= 0.02 else 0, 10 if float(bound) >= seconds else 0
        )
        for bound in bounds
    }


OVER_AFTER_90_S: Series = {
    of_port("gateway_publications_failed_total", why="unknown"): burst(0.05, 10),
    of_port("gateway_dispatches_total", path="remote", outcome="failed"): burst(0, 50),
    of_port("gateway_build_info", version="1.1.0", instance="c"): None,  # a rollout is another day
    # The ports are scraped one after the other.
    of_port("gateway_dispatches_total", path="remote", outcome="moved"): "0x20 40x60",
    of_port("gateway_dispatches_total", path="remote", outcome="moved", instance="b"): (
        "0x22 40x58"
    ),
    of_port("gateway_handshakes_refused_total", reason="not_ready"): burst(0, 20),
    **late_for_a_while("gateway_answer_seconds", 3.0),
    **late_for_a_while("gateway_loop_lag_seconds", 0.5),
}


def test_nobody_is_called_for_what_is_over_after_a_minute_and_a_half(tmp_path: Path) -> None:
    """Red where the rate is that of as long as it has to be too high: everybody is called after
    five minutes, for half a minute.
    """
    asked = case("over", OVER_AFTER_90_S, set())
    asked["promql_expr_test"][0] |= {
        "expr": 'group by (alertname) (max_over_time(ALERTS{alertstate="firing"}[35m]))',
        "eval_time": "38m",
    }
    file = tmp_path / "over_test.json"
    every = {"rule_files": [str(RULES)], "evaluation_interval": f"{INTERVAL_S}s"}
    file.write_text(json.dumps(every | {"tests": [asked]}))
    promtool("test", "rules", str(file))
