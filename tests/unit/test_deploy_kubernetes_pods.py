"""The pods of the shipped manifests: settings, times and rights, against the gateway's own."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.metrics.families import CONNECTIONS
from gateway.process.serve import check
from gateway.process.systemd import EXIT_S
from gateway.protocol.deadlines import AFTER_DRAIN_S, INBOX_CHOICE_S, SILENT_WORKER_S, START_S
from gateway.redis_support.url import parse
from gateway.settings.config import Settings
from tests.support.env_files import OURS, named_in
from tests.support.kustomize import Manifest, documents
from tests.support.pages import ROOT
from tests.support.shipped_manifests import (
    ADAPTER,
    FOLDER,
    ROLES,
    container,
    environment,
    manifests,
    paths,
    pod,
    ports,
    selected,
    settings,
    the,
)

# What the gateway says


@pytest.mark.parametrize("role", ROLES)
def test_a_gateway_starts_with_what_its_container_is_given(role: str) -> None:
    given = settings(role)
    check(given)

    assert environment(role).keys() <= OURS
    assert given.role == role
    assert given.redis_url.reveal()
    assert (given.port, given.admin_bind) == (
        ports(role)["http"],
        f"0.0.0.0:{ports(role)['admin']}",
    )


def test_every_variable_of_the_files_is_a_setting() -> None:
    for file in FOLDER.rglob("*.env"):
        assert named_in(file) <= OURS, file


@pytest.mark.parametrize("role", ROLES)
def test_kubernetes_sets_no_variable_of_ours_for_the_service(role: str) -> None:
    assert pod(role)["spec"]["enableServiceLinks"] is False


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_has_the_time_of_its_drain(role: str) -> None:
    spec = pod(role)["spec"]
    program, pause_s = container(role)["lifecycle"]["preStop"]["exec"]["command"]
    given = settings(role).drain_seconds

    assert program == "sleep"
    assert spec["terminationGracePeriodSeconds"] == int(pause_s) + given + AFTER_DRAIN_S + EXIT_S
    assert given == Settings().drain_seconds


@pytest.mark.parametrize("role", ROLES)
def test_kill_me_and_send_me_nothing_are_told_apart(role: str) -> None:
    made = container(role)
    alive, ready, starts = (made[f"{name}Probe"] for name in ("liveness", "readiness", "startup"))

    assert alive["httpGet"] == starts["httpGet"] == {"path": "/livez", "port": "http"}
    assert ready["httpGet"] == {"path": "/readyz", "port": "http"}
    assert {"/livez", "/readyz"} <= paths()
    # The supervisor replaces the worker first, and the pod keeps its address.
    assert alive["periodSeconds"] * (alive["failureThreshold"] - 1) > SILENT_WORKER_S
    assert starts["periodSeconds"] * starts["failureThreshold"] > 2 * (INBOX_CHOICE_S + START_S)
    assert ready["periodSeconds"] * ready["failureThreshold"] < START_S


def test_edges_are_scaled_by_a_metric_that_is_there() -> None:
    [by_sockets, by_cpu] = the("HorizontalPodAutoscaler", "gateway-edge")["spec"]["metrics"]
    metric, target = by_sockets["pods"]["metric"]["name"], by_sockets["pods"]["target"]
    [rule] = documents(ADAPTER)[0]["rules"]["custom"]

    assert metric == CONNECTIONS._name
    assert CONNECTIONS._labelnames == ()
    assert int(target["averageValue"]) < settings("edge").max_connections
    assert rule["seriesQuery"].startswith(f"{metric}{{")
    assert rule["name"]["as"] == metric
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}  # what a scrape adds
    assert by_cpu["resource"]["name"] == "cpu"


# Who may do what


@pytest.mark.parametrize("role", ROLES)
def test_a_pod_is_one_that_the_profile_restricted_lets_in(role: str) -> None:
    spec, made = pod(role)["spec"], container(role)

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == user_of_the_image()
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert made["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert [mount["mountPath"] for mount in made["volumeMounts"]] == ["/tmp"]
    assert [set(volume) for volume in spec["volumes"]] == [{"name", "emptyDir"}]


def user_of_the_image() -> int:
    [user] = re.findall(r"^USER (\d+):", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    return int(user)


def senders(rule: Manifest) -> set[str]:
    found = set()
    for each in rule["from"]:
        [(kind, selector)] = each.items()
        [(label, value)] = selector["matchLabels"].items()
        found.add(f"{kind} {label}={value}")
    return found


def reached(role: str) -> dict[str, set[str]]:
    """Port -> who may reach it."""
    [policy] = [
        p["spec"]
        for p in manifests("NetworkPolicy")
        if role in selected(p["spec"]["podSelector"]["matchLabels"])
    ]
    assert "Ingress" in policy["policyTypes"]
    found: dict[str, set[str]] = {}
    for rule in policy["ingress"]:
        for port in rule["ports"]:
            assert port["port"] in ports(role)
            found.setdefault(port["port"], set()).update(senders(rule))
    return found


PROMETHEUS = "namespaceSelector kubernetes.io/metadata.name=monitoring"


def test_clients_reach_the_sockets_of_edges_and_backends_their_admin_port() -> None:
    assert reached("edge") == {
        "http": {"namespaceSelector kubernetes.io/metadata.name=ingress-nginx"},
        "admin": {PROMETHEUS, "podSelector gateway-api=allowed"},
    }


def test_nobody_but_prometheus_reaches_a_handler() -> None:
    assert reached("handler") == {"admin": {PROMETHEUS}}


def test_an_edge_reaches_names_and_the_redis_of_its_settings() -> None:
    egress: list[dict[str, Any]] = the("NetworkPolicy", "gateway-edge")["spec"]["egress"]
    allowed = {port["port"] for rule in egress for port in rule["ports"]}

    sentinels = parse("redis+sentinel://one/main").sentinels
    cluster = parse("redis+cluster://one").cluster
    assert sentinels is not None
    assert cluster is not None
    ports = {port for _, port in (*sentinels.hosts, *cluster.nodes.seeds)}
    assert allowed == {53, *ports}
    assert ":6379/" in settings("edge").redis_url.reveal()
