"""The dashboard's file against what Grafana says of such files: its own types, by TypeScript.

No Grafana can be had here that would read it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.grafana import model
from tests.support.npm import npm_package

SCHEMA: Final = (
    "@grafana/schema", "10.4.0", "124e99f3381c17cae76b2d6636b25d8812f3f09a1ea0a04d8b8ff821844be037",
)  # fmt: skip
TYPESCRIPT: Final = (
    "typescript", "5.4.5", "154fae77169f04155ac52d521ac59abb07c9be29ea3744732adbf9f14abb2440",
)  # fmt: skip
CHECK_S: Final = 60.0

# Values of an enumeration are names in TypeScript and strings in a file; and what a data source or
# a plugin adds to a part is its own.
PREAMBLE: Final = """
import { Dashboard } from "%s";
type AsWritten<T> = T extends string ? `${T}` : T extends number ? T
  : T extends (infer U)[] ? AsWritten<U>[]
  : T extends object ? { [K in keyof T]: AsWritten<T[K]> } & { [extra: string]: unknown } : T;
const dashboard: AsWritten<Dashboard> =
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("npm")
    return npm_package(folder, *SCHEMA), npm_package(folder, *TYPESCRIPT)


def complaints(packages: tuple[Path, Path], folder: Path, dashboard: dict[str, Any]) -> str:
    schema, typescript = packages
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on PATH")
    file = folder / "dashboard.ts"
    file.write_text(PREAMBLE % (schema / "dist" / "index") + json.dumps(dashboard) + ";\n")
    options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2020"]
    done = subprocess.run(
        [node, str(typescript / "bin" / "tsc"), *options, "--moduleResolution", "node", str(file)],
        capture_output=True, text=True, timeout=CHECK_S, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def chosen() -> dict[str, Any]:
    """The file as it is once somebody has chosen a data source: until then nothing is."""
    dashboard: dict[str, Any] = json.loads(model.FILE.read_text())
    source = dashboard["templating"]["list"][0]
    assert source["current"] == {}
    source["current"] = {"text": "Prometheus", "value": "prometheus"}
    return dashboard


def test_the_file_is_what_grafana_says_a_dashboard_is(
    packages: tuple[Path, Path], tmp_path: Path
) -> None:
    assert complaints(packages, tmp_path, chosen()) == ""


def test_it_would_say_so_if_it_were_not(packages: tuple[Path, Path], tmp_path: Path) -> None:
    dashboard = chosen()
    dashboard["panels"][1]["fieldConfig"]["defaults"]["thresholds"]["mode"] = "sometimes"
    dashboard["panels"][2]["gridPos"]["w"] = "wide"
    said = complaints(packages, tmp_path, dashboard)

    assert '"sometimes"' in said or "mode" in said
    assert "gridPos" in said
