"""The load test's lock is complete; see ``tests/unit/test_locks.py``."""

from __future__ import annotations

import tomllib

import pytest

from tests.support.locks import environment, grouped, metadata_in, missing, pins, site_packages
from tests.support.serve import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_the_lock_of_the_load_test_lists_all_that_it_needs(python: str) -> None:
    wanted = [
        *PROJECT["project"]["dependencies"],
        *grouped(PROJECT["dependency-groups"], "loadtest"),
    ]
    markers = environment(python)
    pinned = pins((ROOT / "requirements-loadtest.lock").read_text(), markers)

    installed = metadata_in(site_packages(ROOT / ".venv-loadtest"))
    assert missing(wanted, pinned, installed, markers) == []
