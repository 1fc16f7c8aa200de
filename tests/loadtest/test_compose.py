"""The profile ``loadtest`` of docker-compose.yml, as compose itself reads it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gateway.settings import namespaces
from loadtest.arguments import HISTORY, OPTIONS, Refused, environment_name, parse
from loadtest.stands.compose import ComposeStand
from loadtest.stands.own import NAMESPACE, channels_allowed
from tests.support.serve import ROOT


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    command = ["docker", "compose", "--profile", "loadtest", "config", "--format", "json"]
    try:
        read = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"no docker compose: {error}")
    found: dict[str, Any] = json.loads(read.stdout)["services"]
    return found


def test_the_profile_has_a_whole_gateway_a_master_and_workers(services: dict[str, Any]) -> None:
    assert services.keys() == {"gateway", "nginx", "redis", "loadtest", "loadtest-worker"}
    [port] = services["loadtest"]["ports"]
    assert (port["target"], port["published"], port["host_ip"]) == (8089, "8089", "127.0.0.1")


def test_its_variables_are_ones_that_the_load_test_reads(services: dict[str, Any]) -> None:
    given: dict[str, str] = services["loadtest"]["environment"]

    known = {environment_name(option.flag) for option in OPTIONS} | {"LOCUST_HOST", "LOCUST_USERS"}
    assert given.keys() <= known
    assert given == services["loadtest-worker"]["environment"]
    assert parse([], given).host == "http://nginx:8000"


def test_its_channels_in_compose_are_those_of_a_gateway_that_it_starts() -> None:
    text = (ROOT / "deploy" / "compose" / "loadtest-channels.yml").read_text()
    folded = text.partition("GATEWAY_CHANNEL: >-\n")[2].partition("\n\n")[0]
    shipped = json.loads(" ".join(line.strip() for line in folded.splitlines()))
    environment = channels_allowed(HISTORY)

    assert shipped == json.loads(environment["GATEWAY_CHANNEL"])
    assert 'GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN: "on"' in text
    assert namespaces.parse("channel", environment["GATEWAY_CHANNEL"]).named[NAMESPACE].has_history


HOST = "http://localhost:1"
ENGINE = """#!/bin/sh
# An engine in which one service runs.
echo "$@" >>"{log}"
case "$*" in
  "ps "*project=mine*service={service}) echo {service}-1 ;;
esac
"""


@pytest.mark.parametrize("service", ["gateway", "edge", "watched"])
def test_whatever_the_profile_those_with_sockets_are_found_and_killed(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, engine = tmp_path / "log", tmp_path / "docker"
    engine.write_text(ENGINE.format(log=log, service=service))
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    stand = ComposeStand(parse([], {"LOADTEST_COMPOSE": "mine", "LOCUST_HOST": HOST}))

    stand.kill_worker()

    assert stand.alone()
    assert f"kill {service}-1" in log.read_text().splitlines()
    with pytest.raises(Refused, match="gateway or edge or watched"):
        ComposeStand(parse([], {"LOADTEST_COMPOSE": "another", "LOCUST_HOST": HOST}))
