"""The manifests of deploy/kubernetes as they would be applied, and what is in them."""

from __future__ import annotations

import base64
import json
from functools import cache
from typing import Any

from gateway.application.routes import Routes
from gateway.settings.config import Settings
from gateway.settings.sources import load
from tests.support.kustomize import Manifest, build
from tests.support.pages import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
EXAMPLE = FOLDER / "example"
ADAPTER = FOLDER / "components" / "autoscaling" / "prometheus-adapter.yaml"
ROLES = ("edge", "handler")


@cache
def _built() -> str:
    return json.dumps(build(EXAMPLE))


def manifests(kind: str = "") -> list[Manifest]:
    found: list[Manifest] = json.loads(_built())
    return [manifest for manifest in found if kind in ("", manifest["kind"])]


def the(kind: str, name: str) -> Manifest:
    [found] = [m for m in manifests(kind) if m["metadata"]["name"] == name]
    return found


def name_of(manifest: Manifest) -> str:
    return f"{manifest['kind']}/{manifest['metadata']['name']}"


def pod(role: str) -> Manifest:
    found: Manifest = the("Deployment", f"gateway-{role}")["spec"]["template"]
    return found


def container(role: str) -> Manifest:
    [found] = pod(role)["spec"]["containers"]
    return dict(found)


def ports(role: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(role)["ports"]}


def environment(role: str) -> dict[str, str]:
    """What the container is started with, beside what the image sets."""
    found: dict[str, str] = {}
    for source in container(role)["envFrom"]:
        if "configMapRef" in source:
            found |= the("ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            secret = the("Secret", source["secretRef"]["name"])["data"]
            found |= {key: base64.b64decode(value).decode() for key, value in secret.items()}
    return found | {each["name"]: each["value"] for each in container(role)["env"]}


def settings(role: str) -> Settings:
    return load({"GATEWAY_HOST": "0.0.0.0", **environment(role)}).settings


def selected(selector: dict[str, str]) -> list[str]:
    """The roles whose pods have all these labels."""
    return [role for role in ROLES if selector.items() <= pod(role)["metadata"]["labels"].items()]


def paths() -> set[str]:
    """Every path that the gateway answers."""
    found: set[str] = set()
    asked: list[Any] = list(Routes(lambda: None, Settings).starlette().routes)
    while asked:
        route = asked.pop()
        if hasattr(route, "path"):
            found.add(str(route.path))
        else:  # on one port only, under a condition, or several
            asked += getattr(route, "_routes", None) or [route._route]
    return found
