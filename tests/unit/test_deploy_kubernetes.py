"""The shipped manifests: what the schemas of Kubernetes say, and whether they agree.

With one another, and with what Kustomize itself makes of them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import jsonschema  # type: ignore[import-untyped]  # its types are a package of their own
import kubernetes_validate  # type: ignore[import-untyped]  # it says nothing of its types
import pytest
import yaml  # type: ignore[import-untyped]  # the same

from gateway.process.server import PING_INTERVAL_S, PING_TIMEOUT_S
from tests.support.kustomize import Manifest, files_of
from tests.support.pages import DOCS, ROOT
from tests.support.shipped_manifests import (
    ADAPTER,
    EXAMPLE,
    FOLDER,
    ROLES,
    manifests,
    name_of,
    paths,
    pod,
    ports,
    selected,
    the,
)

MONITOR_SCHEMA = ROOT / "tests" / "unit" / "service_monitor_schema.json"
OLDEST, NEWEST = "1.27", kubernetes_validate.latest_version()


# Schemas


def validate(manifest: Manifest, version: str) -> None:
    if manifest["kind"] == "ServiceMonitor":  # of nobody's but the Prometheus Operator
        jsonschema.validate(manifest, json.loads(MONITOR_SCHEMA.read_text()))
    else:
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", manifests(), ids=name_of)
def test_a_manifest_is_what_kubernetes_takes(manifest: Manifest, version: str) -> None:
    validate(manifest, version)


@pytest.mark.parametrize(
    "kind", ["Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceMonitor"]
)
def test_a_key_that_is_misspelt_is_seen(kind: str) -> None:
    manifest = manifests(kind)[0]
    manifest["spec"]["selektor"] = {}

    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
        validate(manifest, NEWEST)


# The kustomization


def test_every_file_is_used_by_the_example() -> None:
    here = {file for file in FOLDER.rglob("*") if file.is_file()}

    assert here - set(files_of(EXAMPLE)) == {ADAPTER}


def test_kustomize_makes_the_same() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("no kubectl, whose kustomize this is compared with")
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(EXAMPLE)],
        capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    without_hashes = re.sub(r"(name: gateway)-[0-9a-z]{10}$", r"\1", rendered, flags=re.MULTILINE)
    by_kustomize = {name_of(m): m for m in yaml.safe_load_all(without_hashes)}

    assert by_kustomize == {name_of(m): m for m in manifests()}


def test_nothing_is_there_twice() -> None:
    names = [name_of(manifest) for manifest in manifests()]

    assert len(names) == len(set(names)) > 10


# Names, labels and ports agree


@pytest.mark.parametrize("role", ROLES)
def test_a_deployment_selects_its_own_pods_and_nobodys_else(role: str) -> None:
    spec = the("Deployment", f"gateway-{role}")["spec"]
    [spread] = spec["template"]["spec"]["topologySpreadConstraints"]

    assert selected(spec["selector"]["matchLabels"]) == [role]
    assert selected(spread["labelSelector"]["matchLabels"]) == [role]


@pytest.mark.parametrize("role", ROLES)
def test_a_disruption_budget_is_for_the_pods_of_its_role(role: str) -> None:
    spec = the("PodDisruptionBudget", f"gateway-{role}")["spec"]

    assert selected(spec["selector"]["matchLabels"]) == [role]
    assert spec["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("name", "roles"),
    [("gateway", ["edge"]), ("gateway-api", ["edge"]), ("gateway-metrics", ["edge", "handler"])],
)
def test_a_service_leads_to_ports_that_are_there(name: str, roles: list[str]) -> None:
    spec = the("Service", name)["spec"]

    assert selected(spec["selector"]) == roles
    for role in roles:
        assert {port["targetPort"] for port in spec["ports"]} <= ports(role).keys()


def test_prometheus_finds_every_pod_even_those_that_are_not_ready() -> None:
    spec = the("ServiceMonitor", "gateway")["spec"]
    wanted = spec["selector"]["matchLabels"].items()
    [service] = [s for s in manifests("Service") if wanted <= s["metadata"]["labels"].items()]
    [endpoint] = spec["endpoints"]

    assert service["metadata"]["labels"][spec["jobLabel"]] == "gateway"  # alerts ask for that job
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] in paths()
    for label in spec["podTargetLabels"]:
        assert all(label in pod(role)["metadata"]["labels"] for role in ROLES)


def test_the_ingress_opens_the_sockets_and_nothing_else() -> None:
    [rule] = the("Ingress", "gateway")["spec"]["rules"]
    opened = {path["path"] for path in rule["http"]["paths"]}

    assert opened == {"/communicate", "/connection/websocket"} <= paths()
    for path in rule["http"]["paths"]:
        backend = path["backend"]["service"]
        service = the("Service", backend["name"])["spec"]
        [port] = [p for p in service["ports"] if p["name"] == backend["port"]["name"]]
        assert (path["pathType"], port["targetPort"]) == ("Exact", "http")


def test_a_socket_is_never_idle_for_as_long_as_the_ingress_waits() -> None:
    annotations = the("Ingress", "gateway")["metadata"]["annotations"]
    for direction in ("read", "send"):
        waits_s = float(annotations[f"nginx.ingress.kubernetes.io/proxy-{direction}-timeout"])
        assert waits_s > PING_INTERVAL_S + PING_TIMEOUT_S


@pytest.mark.parametrize("role", ROLES)
def test_an_autoscaler_decides_how_many_and_the_manifest_does_not(role: str) -> None:
    target = the("HorizontalPodAutoscaler", f"gateway-{role}")["spec"]["scaleTargetRef"]
    deployment = the(target["kind"], target["name"])

    assert target["apiVersion"] == deployment["apiVersion"]
    assert target["name"] == f"gateway-{role}"
    assert "replicas" not in deployment["spec"]


def test_the_guide_names_every_component() -> None:
    guide = (DOCS / "guides" / "deploy-on-kubernetes.md").read_text()

    assert not [
        f.name for f in (FOLDER / "components").iterdir() if f"components/{f.name}" not in guide
    ]
