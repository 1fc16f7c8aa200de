"""The shipped units: what systemd itself says of them, and their numbers against the gateway's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.process.serve import check
from gateway.process.systemd import EXIT_S
from gateway.protocol.deadlines import AFTER_DRAIN_S
from gateway.settings.config import Settings
from gateway.settings.sources import load
from tests.support.env_files import OURS, named_in, set_in
from tests.support.pages import DOCS, ROOT

UNITS = ROOT / "deploy" / "systemd"
SERVICE = UNITS / "gateway@.service"
ENVIRONMENTS = sorted(UNITS.glob("*.env"))
ROLES = ("both", "edge", "handler")
PROGRAM = "/opt/gateway/bin/gateway"
# In tenths, and what it is: a network, Unix sockets and setrlimit are what a gateway lives by.
MOST_EXPOSED = 14
FILES_BESIDE_SOCKETS = 128

Unit = dict[str, list[str]]

analyzed = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze: apt-get install systemd"
)


def unit(file: Path) -> Unit:
    found: Unit = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", file.read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def only(key: str) -> str:
    [value] = unit(SERVICE)[key]
    return value


def environment(role: str) -> dict[str, str]:
    """What a gateway of this role is started with."""
    own = UNITS / f"{role}.env"
    return {
        "GATEWAY_ROLE": role,
        **set_in(UNITS / "common.env"),
        **(set_in(own) if own.exists() else {}),
    }


def settings(role: str) -> Settings:
    return load(environment(role)).settings


# What systemd says


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, with a program that is there."""
    for file in UNITS.glob("gateway@.*"):
        text = file.read_text().replace(PROGRAM, sys.executable)
        (tmp_path / file.name).write_text(text)
    return tmp_path


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments],
        env={"SYSTEMD_UNIT_PATH": f"{folder}:", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip


def complaints(folder: Path) -> list[str]:
    instances = [
        str(folder / f"gateway@{name}")
        for name in ("both.service", "edge.service", "handler.service", "both.socket")
    ]
    said = analyze(folder, "verify", "--man=no", *instances)
    ours = [line for line in said.stderr.splitlines() if "gateway@" in line]
    return ours or ([said.stderr] if said.returncode else [])


@analyzed
def test_systemd_has_nothing_to_say_against_the_units(installed: Path) -> None:
    assert complaints(installed) == []


@analyzed
@pytest.mark.parametrize(
    ("line", "wrong"),
    [("KillMode=mixed", "KillMod=mixed"), ("KillMode=mixed", "KillMode=mixd"),
     (f"ExecStart={sys.executable}", "ExecStart=/nowhere/gateway")],
)  # fmt: skip
def test_it_would_have(installed: Path, line: str, wrong: str) -> None:
    service = installed / SERVICE.name
    service.write_text(service.read_text().replace(line, wrong))

    assert complaints(installed)


@analyzed
def test_who_has_broken_into_a_gateway_can_do_little(installed: Path) -> None:
    """Red without any line that weighs a tenth."""
    instance = installed / "gateway@edge.service"
    instance.write_text((installed / SERVICE.name).read_text())  # it reads no templates offline
    reviewed = analyze(
        installed, "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", str(instance)
    )

    assert reviewed.returncode == 0, reviewed.stdout


# Numbers and names


def test_a_stop_is_given_the_time_of_the_drain_and_its_end() -> None:
    for role in ROLES:
        drain_s = settings(role).drain_seconds
        assert float(only("TimeoutStopSec")) == drain_s + AFTER_DRAIN_S + EXIT_S
        assert drain_s == Settings().drain_seconds


def test_every_socket_a_worker_takes_has_a_file() -> None:
    most = max(settings(role).max_connections for role in ROLES)

    assert int(only("LimitNOFILE")) >= most + FILES_BESIDE_SOCKETS


def test_the_supervisor_alone_is_told_to_stop_and_outlives_a_worker() -> None:
    """Else systemd ends the broker first, and the whole port with one worker out of memory."""
    assert (only("Type"), only("KillMode"), only("OOMPolicy")) == ("notify", "mixed", "continue")


def test_a_redis_that_is_late_is_waited_for_without_end() -> None:
    [limit] = unit(SERVICE)["StartLimitIntervalSec"]

    assert (only("Restart"), limit) == ("on-failure", "0")


@pytest.mark.parametrize("file", ENVIRONMENTS, ids=lambda file: file.name)
def test_every_variable_of_the_environment_is_a_setting(file: Path) -> None:
    assert named_in(file)
    assert named_in(file) <= OURS


@pytest.mark.parametrize("role", ROLES)
def test_a_gateway_of_each_role_starts_from_the_shipped_environment(role: str) -> None:
    check(settings(role))

    assert settings(role).role == role
    assert "GATEWAY_ROLE=%i" in unit(SERVICE)["Environment"]
    assert unit(SERVICE)["EnvironmentFile"] == [
        "/etc/gateway/common.env", "-/etc/gateway/%i.env"
    ]  # fmt: skip


def test_edges_and_handlers_of_one_host_share_no_port() -> None:
    edge, handler = settings("edge"), settings("handler")
    ports = [
        str(edge.port), str(handler.port),
        edge.admin_bind.rpartition(":")[2], handler.admin_bind.rpartition(":")[2],
    ]  # fmt: skip

    assert len(set(ports)) == len(ports)


def test_the_socket_is_where_an_edge_would_listen_without_it() -> None:
    [address] = unit(UNITS / "gateway@.socket")["ListenStream"]

    assert address == f"{settings('edge').host}:{settings('edge').port}"


def test_the_guide_installs_every_file() -> None:
    guide = (DOCS / "guides" / "deploy-with-systemd.md").read_text()

    assert not [file.name for file in UNITS.iterdir() if file.name not in guide]
