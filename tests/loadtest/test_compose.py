"""The profile ``loadtest`` of docker-compose.yml, as compose itself reads it."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from gateway.settings import namespaces
from loadtest.arguments import HISTORY, OPTIONS, environment_name, parse
from loadtest.stand import NAMESPACE, channels_allowed
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
    folded = text.partition("GATEWAY_CHANNEL: >-\n")[2]
    shipped = json.loads(" ".join(line.strip() for line in folded.splitlines()))
    environment = channels_allowed(HISTORY)

    assert shipped == json.loads(environment["GATEWAY_CHANNEL"])
    assert 'GATEWAY_ALLOW_ANONYMOUS_CONNECT_WITHOUT_TOKEN: "on"' in text
    assert namespaces.parse("channel", environment["GATEWAY_CHANNEL"]).named[NAMESPACE].has_history
