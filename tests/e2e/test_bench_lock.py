"""The lock of the benchmarks' peers installs as it is, and is complete."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.locks import environment, metadata_in, missing, pins, site_packages
from tests.support.serve import ROOT


def test_the_lock_of_the_benchmarks_installs_and_lists_all_that_it_needs(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    lock = ROOT / "requirements-bench.lock"
    install = [ROOT / "scripts/install-locked", venv, lock]
    done = subprocess.run(install, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

    wanted = [
        line
        for line in (ROOT / "requirements-bench.in").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    installed = metadata_in(site_packages(venv))
    for python in ("3.11", "3.12", "3.13"):
        markers = environment(python)
        assert missing(wanted, pins(lock.read_text(), markers), installed, markers) == []
    shutil.rmtree(venv)  # pytest would keep it for three more runs
