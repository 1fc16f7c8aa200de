"""The files that tell tools of running gateways."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.process.run_file import (
    RunFile,
    running_gateways,
    the_running_gateway,
    write_run_file,
)
from tests.unit.process.conftest import mode

OURS = RunFile(os.getpid(), 8000, "unix:///run/gateway.sock", "gw")


pytestmark = pytest.mark.usefixtures("runtime")


@pytest.fixture
def dead_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(timeout=30)
    return process.pid


def test_a_running_gateway_is_found_by_its_file() -> None:
    file = write_run_file(OURS)

    assert list(running_gateways()) == [OURS]
    assert mode(file) == 0o600
    assert mode(file.parent) == 0o700


def test_without_any_file_nothing_runs() -> None:
    assert list(running_gateways()) == []


def test_a_file_of_a_former_process_with_the_same_id_is_replaced() -> None:
    write_run_file(RunFile(os.getpid(), 1, "", ""))

    write_run_file(OURS)

    assert list(running_gateways()) == [OURS]


def test_the_file_of_a_dead_gateway_is_removed(dead_pid: int) -> None:
    dead = write_run_file(RunFile(dead_pid, 8001, "", ""))
    write_run_file(OURS)

    assert list(running_gateways()) == [OURS]
    assert not dead.exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "5", '{"pid": 1}', json.dumps({**asdict(OURS), "pid": 10**30}), "\x00"],
)
def test_a_file_that_is_no_run_file_is_passed_over(content: str) -> None:
    file = write_run_file(OURS)
    (file.parent / "0.json").write_text(content)

    assert list(running_gateways()) == [OURS]


@pytest.mark.parametrize("runtime_folder", [None, "", "gone"])
def test_without_a_runtime_folder_the_files_lie_in_a_private_one_below_tmp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime_folder: str | None
) -> None:
    if runtime_folder is None:
        monkeypatch.delenv("XDG_RUNTIME_DIR")
    else:
        value = runtime_folder and str(tmp_path / runtime_folder)
        monkeypatch.setenv("XDG_RUNTIME_DIR", value)

    file = write_run_file(OURS)

    assert file.parent == tmp_path / f"gateway-run-{os.getuid()}"
    assert mode(file.parent) == 0o700
    assert list(running_gateways()) == [OURS]


@pytest.mark.parametrize("shared_mode", [0o777, 0o720, 0o702])
def test_a_folder_that_others_can_write_to_is_neither_read_nor_written(
    runtime: Path, shared_mode: int
) -> None:
    # In /tmp somebody else may have made it first, and put a file with a broker of theirs there.
    file = write_run_file(OURS)
    file.parent.chmod(shared_mode)

    assert list(running_gateways()) == []
    with pytest.raises(ConfigError, match="is not a folder that only this user can write to"):
        write_run_file(OURS)


def test_a_link_to_a_folder_is_not_followed(runtime: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    (runtime / "gateway").symlink_to(elsewhere)

    with pytest.raises(ConfigError, match="is not a folder that only this user can write to"):
        write_run_file(OURS)


def test_a_folder_that_cannot_be_made_is_one_line(runtime: Path) -> None:
    (runtime / "gateway").touch()

    with pytest.raises(ConfigError, match=r"^cannot write to .*/gateway: File exists$"):
        write_run_file(OURS)


# Which gateway is meant


def test_a_gateway_is_found_by_its_port_or_by_its_folder(tmp_path: Path) -> None:
    ours = replace(OURS, folder=str(tmp_path))
    other = replace(OURS, pid=os.getppid(), port=8001, redis_url="unix:///other.sock")
    for run in (ours, other):
        write_run_file(run)

    assert the_running_gateway(port=8001, otherwise="x") == other
    assert the_running_gateway(folder=tmp_path, otherwise="x") == ours


def test_of_several_it_is_rather_the_one_of_a_folder(tmp_path: Path) -> None:
    ours = replace(OURS, folder=str(tmp_path))
    other = replace(OURS, pid=os.getppid(), port=8001, redis_url="unix:///other.sock", folder="/o")
    for run in (ours, other):
        write_run_file(run)

    assert the_running_gateway(rather_in=tmp_path, otherwise="x") == ours
    assert the_running_gateway(rather_in=Path("/o"), otherwise="x") == other
    assert the_running_gateway(port=8001, rather_in=tmp_path, otherwise="x") == other
    with pytest.raises(ConfigError, match="several gateways run here"):
        the_running_gateway(rather_in=Path("/no"), otherwise="x")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "several gateways run here ({}): try"),
        ({"port": 9000}, "no gateway of this user runs on port 9000 (others: {}): try"),
        ({"folder": Path("/no")}, "no gateway of this user runs in /no (others: {}): try"),
    ],
)
def test_none_is_guessed_and_those_that_run_are_named(asked: Any, said: str) -> None:
    """Also two that share a Redis and not the prefix: red when the first one is taken."""
    for run in (OURS, replace(OURS, pid=os.getppid(), port=8001, redis_prefix="other")):
        write_run_file(run)

    with pytest.raises(ConfigError) as refused:
        the_running_gateway(**asked, otherwise="try")

    either = ("ports 8000, 8001", "ports 8001, 8000")
    assert str(refused.value) in [said.format(ports) for ports in either]


def test_without_any_that_is_said() -> None:
    with pytest.raises(ConfigError, match="no gateway of this user runs here: try"):
        the_running_gateway(otherwise="try")
