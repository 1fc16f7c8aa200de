"""Packages of npm, fetched where npm can, and never anything but the pinned file."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Final

import pytest

FETCH_S: Final = 120.0


def npm_package(folder: Path, name: str, version: str, sha256: str) -> Path:
    """The folder of one package, without what it depends on. Skips the test without npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on PATH")
    fetched = subprocess.run(
        [npm, "pack", "--silent", f"{name}@{version}"],
        cwd=folder, capture_output=True, text=True, timeout=FETCH_S, check=False,
    )  # fmt: skip
    if fetched.returncode:
        pytest.skip(f"npm cannot fetch {name}")
    packed = folder / f"{name.strip('@').replace('/', '-')}-{version}.tgz"
    assert hashlib.sha256(packed.read_bytes()).hexdigest() == sha256
    target = folder / "node_modules" / name
    target.mkdir(parents=True, exist_ok=True)
    with tarfile.open(packed) as archive:
        archive.extractall(target, filter="data")
    return target / "package"
