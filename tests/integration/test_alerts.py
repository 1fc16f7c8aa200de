"""The shipped alerts, by ``promtool``: each fires when it should, and none on a good day."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.metrics.families import KNOWN_LABELS
from tests.support.alert_series import (
    INTERVAL_S,
    Series,
    histogram,
    of_port,
    promtool,
    rising,
    steady,
)
from tests.support.serve import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = PROMETHEUS / "alerts.yml"

GAPS = " ".join(f"{gaps}x14" for gaps in range(1, 6))  # one every 7 minutes
DEATHS = " ".join(f"{deaths}x15" for deaths in range(5))  # one every 8 minutes


pytestmark = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")


def fetches(key_set: str, outcome: str) -> str:
    return of_port("gateway_key_set_fetches_total", key_set=key_set, outcome=outcome)


def use(of: str) -> str:
    return of_port("gateway_worker_use_ratio", of=of)


def labelled() -> Series:
    """Every counter with labels, at nothing."""
    found: Series = {}
    for counter, values in KNOWN_LABELS:
        name = counter._name + "_total"
        labels = counter._labelnames
        combined: list[dict[str, str]] = [{}]
        for label, each in zip(labels, values, strict=True):
            combined = [{**done, label: value} for done in combined for value in each]
        found |= {of_port(name, **chosen): steady(0) for chosen in combined}
    return found


KEY_SETS = ("client.token", "client.subscription_token")

GOOD: Series = {
    of_port("up"): steady(1),
    of_port("up", instance="b"): steady(1),
    of_port("gateway_handler_workers"): steady(2),
    of_port("gateway_workers"): steady(2),
    of_port("gateway_canary_age_seconds"): steady(1),
    of_port("gateway_redis_unlocated"): steady(0),
    of_port("gateway_redis_sentinels_away"): steady(0),
    of_port("gateway_redis_quorum_lost"): steady(0),
    of_port("gateway_redis_slots_uncovered"): steady(0),
    of_port("gateway_redis_master_away", master="a:6379"): steady(0),
    of_port("gateway_connections"): steady(10_000),
    of_port("gateway_outbox_bytes"): steady(1000),
    of_port("gateway_messages_received_total"): rising(100),
    of_port("gateway_link_resends_total"): steady(3),
    of_port("gateway_resyncs_total"): steady(2),
    of_port("gateway_channel_resyncs_total"): steady(2),
    of_port("gateway_channels_refused_total"): steady(0),
    of_port("gateway_publications_total"): rising(10),
    of_port("gateway_publications_failed_total", why="unknown"): rising(0.05),
    of_port("gateway_worker_deaths_total"): steady(3),
    of_port("gateway_presence_failing"): steady(0),
    of_port("gateway_envelopes_unreadable_total"): steady(0),
    of_port("gateway_disconnects_given_up_total"): steady(2),
    of_port("gateway_edges_without_handlers"): steady(0),
    **{use(of): steady(0.5) for of in ("connections", "handlers", "channels", "open_files")},
    of_port("gateway_build_info", version="1.2.0"): steady(1),
    of_port("gateway_build_info", version="1.2.0", instance="b"): steady(1),
    # A rollout that came to its end.
    of_port("gateway_build_info", version="1.1.0", instance="c"): "1x30 _x50",
    of_port("gateway_admin_keys_refused_total"): "0x20 4x60",
    of_port("gateway_registry_busy_total"): steady(0),
    of_port("gateway_answers_not_taken_total"): steady(1),
    **labelled(),
    of_port("gateway_dispatches_total", path="local", outcome="answered"): rising(100),
    of_port("gateway_spans_total", outcome="exported"): rising(100),
    of_port("gateway_connections_closed_total", code="1001"): rising(10),
    of_port("gateway_recoveries_total", outcome="recovered"): rising(10),
    of_port("gateway_recoveries_total", outcome="not_recovered"): rising(0.5),
    **{fetches(key_set, "fetched"): rising(0.01) for key_set in KEY_SETS},
    **histogram("gateway_handler_seconds", 0.01),
    **histogram("gateway_answer_seconds", 0.02),
    **histogram("gateway_broker_roundtrip_seconds", 0.001),
    **histogram("gateway_loop_lag_seconds", 0.001),
}
NOBODY: Series = dict.fromkeys(GOOD)
CANNOT_BE_SCRAPED: Series = {
    **NOBODY,
    of_port("up"): steady(0),
    of_port("up", instance="b"): steady(0),
}
IN_AN_OUTAGE = {"GatewayDown", "GatewayAnswersNothing", "GatewayWorkersMissing"}

CASES: dict[str, tuple[Series, set[str]]] = {
    "a good day": ({}, set()),
    "a quiet night": (
        {
            **{series: steady(0) for series in GOOD if "_total{" in series or "_bucket{" in series},
            of_port("gateway_connections"): steady(0),
        },
        set(),
    ),
    "nobody is known": (NOBODY, IN_AN_OUTAGE),
    "all are dead": (CANNOT_BE_SCRAPED, {*IN_AN_OUTAGE, "GatewayTargetDown"}),
    "one port is dead": ({of_port("up", instance="b"): steady(0)}, {"GatewayTargetDown"}),
    "no handler worker": (
        {
            of_port("gateway_handler_workers"): steady(0),
            of_port("gateway_edges_without_handlers"): steady(2),
        },
        {"GatewayAnswersNothing"},
    ),
    "one worker": ({of_port("gateway_workers"): steady(1)}, {"GatewayWorkersMissing"}),
    "no probe": ({of_port("gateway_canary_age_seconds"): rising(1)}, {"GatewayRedisAway"}),
    "redis is full": (
        {of_port("gateway_redis_errors_total", kind="memory"): "0x52 3+3x27"},
        {"GatewayRedisRefuses"},
    ),
    "redis has been full for half an hour": (
        {of_port("gateway_redis_errors_total", kind="memory"): rising(0.1)},
        {"GatewayRedisRefuses", "GatewayRedisRefusesAtTimes"},
    ),
    "somebody else writes to a key every seven minutes": (
        {of_port("gateway_redis_errors_total", kind="wrongtype"): GAPS},
        {"GatewayRedisRefusesAtTimes"},
    ),
    "redis refuses one command": (
        {of_port("gateway_redis_errors_total", kind="permission"): "0x57 1x30"}, set(),
    ),
    "nobody says where redis is": (
        {of_port("gateway_redis_unlocated"): steady(2)}, {"GatewayRedisUnlocated"},
    ),
    "a sentinel is away": (
        {of_port("gateway_redis_sentinels_away"): steady(1)}, {"GatewaySentinelsAway"},
    ),
    "sentinels lost their quorum": (
        {of_port("gateway_redis_quorum_lost"): steady(2)}, {"GatewayQuorumLost"},
    ),
    "a master is away": (
        {of_port("gateway_redis_master_away", master="a:6379"): steady(2)}, {"GatewayMasterAway"},
    ),
    "a master is away until its replica takes over": (
        {of_port("gateway_redis_master_away", master="a:6379"): "0x59 2 0x20"}, set(),
    ),
    "slots are nobody's": (
        {of_port("gateway_redis_slots_uncovered"): steady(5461)}, {"GatewaySlotsUncovered"},
    ),
    "messages move": (
        {of_port("gateway_dispatches_total", path="remote", outcome="moved"): rising(0.1)},
        {"GatewayWorkersDie"},
    ),
    "a worker dies every eight minutes, and nothing moves": (
        {of_port("gateway_worker_deaths_total"): DEATHS}, {"GatewayWorkersDie"},
    ),
    "two workers died, once": ({of_port("gateway_worker_deaths_total"): "0x15 2x64"}, set()),
    "an edge sees no handler worker": (
        {of_port("gateway_edges_without_handlers"): steady(1)}, {"GatewayEdgeWithoutHandlers"},
    ),
    "handlers of one worker hang": ({use("handlers"): steady(0.95)}, {"GatewayHandlersTaken"}),
    "a rollout is stuck": (
        {of_port("gateway_build_info", version="1.1.0", instance="c"): steady(1)},
        {"GatewayVersionsDiffer"},
    ),
    "an answer is not taken": (
        {of_port("gateway_answers_not_taken_total"): "1x50 2x30"}, {"GatewayAnswersNotTaken"},
    ),
    "disconnects are given up": (
        {of_port("gateway_disconnects_given_up_total"): "0x50 1x30"},
        {"GatewayDisconnectsGivenUp"},
    ),
    "handlers fail": (
        {of_port("gateway_dispatches_total", path="remote", outcome="failed"): rising(2)},
        {"GatewayHandlersFail"},
    ),
    "handlers are slow": (
        histogram("gateway_handler_seconds", 2.0), {"GatewayHandlersSlow"},
    ),
    "answers are slow": (histogram("gateway_answer_seconds", 3.0), {"GatewayAnswersSlow"}),
    "a loop is held": (histogram("gateway_loop_lag_seconds", 0.5), {"GatewayLoopHeld"}),
    "redis is slow": (
        histogram("gateway_broker_roundtrip_seconds", 0.1), {"GatewayRedisSlow"},
    ),
    "sends to users wait in vain": (
        {of_port("gateway_registry_busy_total"): "0x50 1x30"}, {"GatewayRegistryBusy"},
    ),
    "handshakes are refused": (
        {of_port("gateway_handshakes_refused_total", reason="not_ready"): rising(2)},
        {"GatewayRefuses"},
    ),
    "redis keeps messages waiting": (
        {of_port("gateway_connections_closed_total", code="3004"): rising(2)},
        {"GatewayClosesSockets"},
    ),
    "networks break": (
        {of_port("gateway_connections_closed_total", code="3012"): rising(2)},
        {"GatewayClosesSockets"},
    ),
    "sockets break": (
        {of_port("gateway_connections_closed_total", code="1006"): rising(2)},
        {"GatewayClosesSockets"},
    ),
    "nobody reads": ({of_port("gateway_outbox_bytes"): steady(10**9)}, {"GatewaySlowClients"}),
    "a worker is full": ({use("connections"): steady(0.9)}, {"GatewayFull"}),
    "files run out": ({use("open_files"): steady(0.95)}, {"GatewayOpenFiles"}),
    "subscriptions lose": (
        {of_port("gateway_channel_gaps_total", why="gap"): rising(0.1)}, {"GatewayChannelGaps"},
    ),
    "subscriptions lose every seven minutes": (
        {of_port("gateway_channel_gaps_total", why="gap"): GAPS}, {"GatewayChannelGaps"},
    ),
    "three breaks within half an hour": (
        {of_port("gateway_channel_gaps_total", why="gap"): "0x10 9x15 18x15 27x40"}, set(),
    ),
    "one break, in a thousand channels": (
        {of_port("gateway_channel_gaps_total", why="unknown"): "0x30 1000x50"}, set(),
    ),
    "clients come back too late": (
        {of_port("gateway_recoveries_total", outcome="not_recovered"): rising(2)},
        {"GatewayRecoveriesFail"},
    ),
    "nobody can be written as there": (
        {of_port("gateway_presence_failing"): steady(1)}, {"GatewayPresenceFails"},
    ),
    "no keys": (
        {
            **{fetches(key_set, "fetched"): steady(3) for key_set in KEY_SETS},
            **{fetches(key_set, "failed"): rising(0.01) for key_set in KEY_SETS},
        },
        {"GatewayKeySetFails"},
    ),
    "one of two sets of keys is away": (
        {
            fetches("client.subscription_token", "fetched"): steady(3),
            fetches("client.subscription_token", "failed"): rising(0.01),
        },
        {"GatewayKeySetFails"},
    ),
    "a fetch of keys fails now and then": (
        {fetches("client.token", "failed"): rising(0.005)}, set(),
    ),
    "publications fail": (
        {of_port("gateway_publications_failed_total", why="full"): rising(0.3)},
        {"GatewayPublicationsFail"},
    ),
    "nearly full of channels": ({use("channels"): steady(0.9)}, {"GatewayChannelsFull"}),
    "one worker of a port is full of channels": (
        {of_port("gateway_channels_refused_total"): rising(0.1)}, {"GatewayChannelsFull"},
    ),
    "redis breaks off channels": (
        {of_port("gateway_channel_resyncs_total"): rising(0.1)}, {"GatewayResyncs"},
    ),
    "links lose": ({of_port("gateway_link_resends_total"): rising(2)}, {"GatewayLinksRepeat"}),
    "redis breaks off": ({of_port("gateway_resyncs_total"): rising(0.1)}, {"GatewayResyncs"}),
    "redis breaks off every seven minutes": (
        {of_port("gateway_resyncs_total"): GAPS}, {"GatewayResyncs"},
    ),
    "redis is restarted, under eight workers": (
        {
            of_port("gateway_resyncs_total"): "0x40 8x40",
            of_port("gateway_channel_resyncs_total"): "0x40 8x40",
        },
        set(),
    ),
    "versions differ": (
        {of_port("gateway_envelopes_unreadable_total"): rising(0.1)}, {"GatewayUnreadable"},
    ),
    "a collector is away": (
        {of_port("gateway_spans_total", outcome="failed"): rising(10)}, {"GatewaySpansLost"},
    ),
    "a collector is too slow": (
        {of_port("gateway_spans_total", outcome="dropped"): rising(0.1)}, {"GatewaySpansLost"},
    ),
    "a collector is restarted": (
        {of_port("gateway_spans_total", outcome="failed"): "0x30 500x4 1000x40"}, set(),
    ),
    "one command of a batch fails by a fault": (
        {of_port("gateway_api_results_total", command="send", status="500"): "0x50 1x30"},
        {"GatewayApiFails"},
    ),
    "a call fails by a fault": (
        {of_port("gateway_api_requests_total", method="POST", status="500"): "0x50 1x30"},
        {"GatewayApiFails"},
    ),
    "commands of batches are refused": (
        {
            of_port("gateway_api_results_total", command="send", status="410"): rising(10),
            of_port("gateway_api_results_total", command="publish", status="503"): rising(10),
        },
        set(),
    ),
    "keys are tried": (
        {of_port("gateway_admin_keys_refused_total"): rising(0.02)}, {"GatewayAdminKeysRefused"},
    ),
    "keys are tried at the API": (
        {of_port("gateway_api_requests_total", method="GET", status="401"): rising(0.02)},
        {"GatewayApiKeysRefused"},
    ),
    "signatures are tried at the API": (
        {of_port("gateway_api_requests_total", method="POST", status="403"): rising(0.02)},
        {"GatewayApiKeysRefused"},
    ),
    "a backend has a wrong key ten times": (
        {of_port("gateway_api_requests_total", method="POST", status="401"): "0x40 10x40"}, set(),
    ),
    "a key is mistyped ten times": (
        {of_port("gateway_admin_keys_refused_total"): "0x40 10x40"}, set(),
    ),
}  # fmt: skip


def case(
    name: str,
    changes: Series,
    firing: set[str],
    *,
    interval_s: int = INTERVAL_S,
    seen: Callable[[str], str] = str,
) -> dict[str, Any]:
    """One test of promtool's: what fires after half an hour, and nothing else.

    Args:
        interval_s: Between two scrapes.
        seen: What those see of the values.
    """
    told = {key: seen(values) for key, values in (GOOD | changes).items() if values is not None}
    return {
        "name": name,
        "interval": f"{interval_s}s",
        "input_series": [{"series": key, "values": value} for key, value in told.items()],
        "promql_expr_test": [
            {
                "expr": 'group by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "30m",
                "exp_samples": [
                    {"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in sorted(firing)
                ],
            }
        ],
    }


def test_every_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    """In an outage without survivors, bounds on what the gateway told were never passed."""
    file = tmp_path / "alerts_test.json"  # which is YAML
    tests = [case(name, *what) for name, what in CASES.items()]
    asked = {"rule_files": [str(RULES)], "evaluation_interval": f"{INTERVAL_S}s", "tests": tests}
    file.write_text(json.dumps(asked))
    promtool("test", "rules", str(file))


def test_every_alert_has_a_case_of_its_own() -> None:
    alone = {next(iter(firing)) for _, firing in CASES.values() if len(firing) == 1}

    assert alone | IN_AN_OUTAGE == set(re.findall(r"- alert: (\w+)", RULES.read_text()))


def test_the_example_of_a_configuration_is_one() -> None:
    promtool("check", "config", str(PROMETHEUS / "prometheus.yml"))
