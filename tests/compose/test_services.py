"""What ``docker compose config`` says of the shipped files: nothing is started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.compose import ComposeStack

PROFILES = "whole,split,loadtest,sentinel"
TLS = "deploy/compose/tls.yml"
MAY_BECOME_ANOTHER = {"SETUID", "SETGID", "CHOWN", "DAC_READ_SEARCH"}


def services(override: str = "", **variables: str) -> dict[str, Any]:
    """Every service of every profile."""
    stack = ComposeStack("nothing:1", override=override, **variables)
    shown = stack.compose("config", "--format", "json", COMPOSE_PROFILES=PROFILES)
    found: dict[str, Any] = json.loads(shown)["services"]
    return found


@pytest.fixture(scope="module")
def shipped() -> dict[str, Any]:
    return services(DRAIN_SECONDS="", PORT="")


SERVICES = [
    "gateway", "edge", "handler", "nginx", "redis", "loadtest", "loadtest-worker", "watched",
    *(f"redis-{number}" for number in (1, 2, 3)), *(f"sentinel-{number}" for number in (1, 2, 3)),
]  # fmt: skip


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_confined(shipped: dict[str, Any], service: str) -> None:
    assert set(shipped) == set(SERVICES)
    found = shipped[service]

    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "cap_add" not in found
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert int(found["mem_limit"]) > 0


def test_with_tls_only_what_reads_the_key_may_do_more(tmp_path_factory: Any) -> None:
    certificates = str(tmp_path_factory.mktemp("certificates"))
    nginx = services(TLS, CERTIFICATES=certificates)["nginx"]

    assert (nginx["read_only"], nginx["cap_drop"]) == (True, ["ALL"])
    assert set(nginx["cap_add"]) == MAY_BECOME_ANOTHER


def test_a_password_is_in_a_file_only_and_holds_in_every_profile(tmp_path: Path) -> None:
    file = tmp_path / "redis"
    file.write_text("opensesame\n")
    found = services("deploy/compose/password.yml", REDIS_PASSWORD_FILE=str(file))

    assert "opensesame" not in json.dumps(found)
    for name in set(SERVICES) - {"nginx", "loadtest", "loadtest-worker"}:
        assert [secret["source"] for secret in found[name]["secrets"]] == ["redis_password"], name


def test_channels_of_the_load_test_are_set_up_in_every_profile() -> None:
    found = services("deploy/compose/loadtest-channels.yml")

    for name in ("gateway", "edge", "handler", "watched"):
        channels = json.loads(found[name]["environment"]["GATEWAY_CHANNEL"])
        assert [namespace["name"] for namespace in channels["namespaces"]] == ["loadtest"], name


@pytest.mark.parametrize("override", ["", TLS])
@pytest.mark.parametrize(("asked", "address"), [("", "127.0.0.1"), ("0.0.0.0", "0.0.0.0")])
def test_only_this_machine_can_connect_unless_asked(
    asked: str, address: str, override: str, tmp_path_factory: Any
) -> None:
    certificates = str(tmp_path_factory.mktemp("certificates"))
    found = services(override, PUBLISH=asked, CERTIFICATES=certificates)

    published = {
        (name, port["host_ip"])
        for name, service in found.items()
        for port in service.get("ports", [])
    }
    assert published == {("nginx", address), ("loadtest", "127.0.0.1")}


def test_containers_may_drain_for_twenty_seconds_longer_than_workers(
    shipped: dict[str, Any],
) -> None:
    for name in ("gateway", "edge", "handler", "watched"):
        drain_s = int(shipped[name]["environment"]["GATEWAY_DRAIN_SECONDS"])
        assert shipped[name]["stop_grace_period"] == f"{drain_s + 20}s"
        assert shipped[name]["stop_signal"] == "SIGTERM"


def test_nginx_and_redis_stop_after_the_workers_and_edges_before_handlers(
    shipped: dict[str, Any],
) -> None:
    """Compose stops first what depends on others. nginx went first, and every socket with it."""
    for name in ("gateway", "edge", "handler"):
        assert {"nginx", "redis"} <= set(shipped[name]["depends_on"])
    assert "handler" in shipped["edge"]["depends_on"]
    assert "depends_on" not in shipped["nginx"]
