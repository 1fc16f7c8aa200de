"""Which gateway the command line asks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.cli.options import broker_of
from gateway.process.run_file import RunFile, write_run_file


def test_of_several_gateways_it_is_the_one_that_was_started_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("GATEWAY_REDIS_URL", raising=False)
    here = RunFile(os.getpid(), 8000, "unix:///here.sock", "gw", folder=str(tmp_path))
    there = RunFile(os.getppid(), 8001, "unix:///there.sock", "gw", folder="/there")
    for run in (here, there):
        write_run_file(run)
    monkeypatch.chdir(tmp_path)

    assert broker_of(None, None, None)[0].reveal() == "unix:///here.sock"
    assert broker_of(None, None, 8001)[0].reveal() == "unix:///there.sock"
