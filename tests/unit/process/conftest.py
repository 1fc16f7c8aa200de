from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime folder and a temporary folder of this test's own."""
    folder = tmp_path / "runtime"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for variable in ("GATEWAY_RUN_FOLDER", "PROMETHEUS_MULTIPROC_DIR"):
        monkeypatch.setenv(variable, "restored after the test")
    return folder


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
