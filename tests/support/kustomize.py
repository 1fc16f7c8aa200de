"""Kustomizations, put together without Kustomize: as much of them as the shipped ones use.

What they do not use is refused, so that nothing is passed over in silence.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its types are a package of their own

from tests.support.env_files import set_in

Manifest = dict[str, Any]
KNOWN = {
    "apiVersion", "kind", "namespace", "resources", "components", "patches", "images",
    "configMapGenerator", "secretGenerator",
}  # fmt: skip
CLUSTER_WIDE = {"Namespace"}


def documents(file: Path) -> list[Manifest]:
    return [found for found in yaml.safe_load_all(file.read_text()) if found]


def kustomization(folder: Path) -> Manifest:
    [found] = documents(folder / "kustomization.yaml")
    unknown = set(found) - KNOWN
    assert not unknown, f"{folder.name}: {unknown} is not known here"
    return found


def build(folder: Path) -> list[Manifest]:
    """Every manifest, as it would be applied; generated names without their hash."""
    return _apply(kustomization(folder), folder, [])


def files_of(folder: Path) -> Iterator[Path]:
    """Every file that a kustomization names, and its own; of its bases and components too."""
    made = kustomization(folder)
    yield folder / "kustomization.yaml"
    for name in [*made.get("resources", []), *made.get("components", [])]:
        path = (folder / name).resolve()
        yield from files_of(path) if path.is_dir() else iter([path])
    for generator in [*made.get("configMapGenerator", []), *made.get("secretGenerator", [])]:
        yield from (folder / name for name in generator.get("envs", []))


def _apply(made: Manifest, folder: Path, before: list[Manifest]) -> list[Manifest]:
    found = list(before)
    for name in made.get("resources", []):
        path = folder / name
        found += build(path) if path.is_dir() else documents(path)
    for kind, key in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
        for generator in made.get(key, []):
            _generate(kind, generator, folder, found)
    for name in made.get("components", []):
        component = kustomization(folder / name)
        assert component["kind"] == "Component", name
        found = _apply(component, folder / name, found)
    for patch in made.get("patches", []):
        _patch(patch, found)
    for manifest in found:
        if "namespace" in made and manifest["kind"] not in CLUSTER_WIDE:
            manifest["metadata"]["namespace"] = made["namespace"]
        for image in made.get("images", []):
            _set_image(image, manifest)
    return found


def _generate(kind: str, generator: Manifest, folder: Path, found: list[Manifest]) -> None:
    pairs: dict[str, str] = {}
    for name in generator.get("envs", []):
        pairs |= set_in(folder / name)
    pairs |= dict(literal.split("=", 1) for literal in generator.get("literals", []))
    if kind == "Secret":
        pairs = {key: base64.b64encode(value.encode()).decode() for key, value in pairs.items()}
    same = [m for m in found if (m["kind"], m["metadata"]["name"]) == (kind, generator["name"])]
    if generator.get("behavior") == "merge":
        [into] = same
        into["data"] |= pairs
        return
    assert not same, f"{kind} {generator['name']} is there twice"
    made: Manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": generator["name"]}}
    found.append(made | {"data": pairs} | ({"type": "Opaque"} if kind == "Secret" else {}))


def _patch(patch: Manifest, found: list[Manifest]) -> None:
    target = patch["target"]
    [manifest] = [
        m for m in found if (m["kind"], m["metadata"]["name"]) == (target["kind"], target["name"])
    ]
    for step in yaml.safe_load(patch["patch"]):
        assert step["op"] == "remove", step
        *above, last = step["path"].strip("/").split("/")
        place = manifest
        for key in above:
            place = place[key]
        del place[last]


def _set_image(image: Manifest, manifest: Manifest) -> None:
    if manifest["kind"] == "Deployment":
        for container in manifest["spec"]["template"]["spec"]["containers"]:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
