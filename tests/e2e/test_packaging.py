"""What is built for others to install, and what it needs where nothing else is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

import pytest
from websockets.sync.client import connect

from gateway.settings.config import Settings
from tests.support.serve import ROOT, Served

NOT_COPIED = (".git", ".venv*", ".*_cache", ".hypothesis", "__pycache__", "build", "dist")
APPLICATION = """
from gateway import Gateway, Message

shouting = Gateway()

@shouting.on_message
async def shout(message: Message) -> str:
    return message.text.upper()
"""


@dataclass(frozen=True, slots=True)
class Built:
    """The two archives, and the tree they were built from."""

    tree: Path
    sdist: Path
    wheel: Path

    @property
    def package_files(self) -> set[str]:
        found = (path for path in (self.tree / "gateway").rglob("*") if path.is_file())
        return {path.relative_to(self.tree).as_posix() for path in found}

    @property
    def in_wheel(self) -> set[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    @property
    def in_sdist(self) -> set[str]:
        """Names without the folder that all of them are in."""
        with tarfile.open(self.sdist) as archive:
            return {"/".join(PurePosixPath(name).parts[1:]) for name in archive.getnames()}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed, with no settings and nothing of this tree; its output."""
    ours = ("GATEWAY_", "COV_", "PYTHON", "VIRTUAL_ENV")
    done = subprocess.run(
        command, cwd=cwd, env={k: v for k, v in os.environ.items() if not k.startswith(ours)},
        capture_output=True, text=True, timeout=180, check=False,
    )  # fmt: skip
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout


def version_of_the_project() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return str(project["version"])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built from a copy, the wheel from the sdist: as for a release."""
    folder = tmp_path_factory.mktemp("built")
    tree, out = folder / "tree", folder / "out"
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*NOT_COPIED))
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, tree, cwd=folder)
    [sdist], [wheel] = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(tree, sdist, wheel)


@pytest.fixture(scope="module")
def installed(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The commands of an environment with the wheel and what the lock lists, and nothing else."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    commands = folder / "venv" / "bin"
    install = (commands / "python", "-m", "pip", "install", "--quiet", "--no-compile")
    run(
        ROOT / "scripts" / "install-locked",
        folder / "venv",
        built.tree / "requirements.lock",
        cwd=folder,
    )
    run(*install, "--no-deps", built.wheel, cwd=folder)
    yield commands
    shutil.rmtree(folder)  # pytest would keep it for three more runs


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A folder where nothing can be imported from."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


# What is built


@pytest.mark.parametrize(
    "name",
    [
        "gateway/py.typed",
        "gateway/admin_page/admin.js",
        "gateway/admin_page/index.html",
        "gateway/page/index.html",
        "gateway/page/base.css",
        "gateway/page/page.css",
        "gateway/page/page.js",
        "gateway/page/rules.js",
        "gateway/page/lines.js",
        "gateway/page/connection.js",
        "gateway/page/centrifuge.js",
        "gateway/page/room.js",
        "gateway/page/views.js",
        "gateway/redis_support/scripts/lease_renew.lua",
    ],
)
def test_the_wheel_has_what_is_no_python(built: Built, name: str) -> None:
    assert name in built.in_wheel


def test_the_wheel_has_every_file_of_the_package_and_none_besides(built: Built) -> None:
    modules = {name for name in built.in_wheel if ".dist-info/" not in name}

    assert modules == built.package_files


def test_the_sdist_has_every_file_of_the_package_and_no_tests(built: Built) -> None:
    assert built.package_files <= built.in_sdist
    assert not [name for name in built.in_sdist if name.startswith("tests")]


def test_both_carry_the_licence(built: Built) -> None:
    assert "LICENSE" in built.in_sdist
    assert [name for name in built.in_wheel if name.endswith(".dist-info/licenses/LICENSE")]


# What is installed


def test_the_lock_lists_everything_that_the_wheel_requires(installed: Path, empty: Path) -> None:
    assert "No broken requirements" in run(installed / "python", "-m", "pip", "check", cwd=empty)


def test_the_installed_version_is_that_of_the_project(installed: Path, empty: Path) -> None:
    output = run(installed / "gateway", "--version", cwd=empty)

    assert output == f"gateway {version_of_the_project()}\n"


def test_the_installed_command_knows_every_setting(installed: Path, empty: Path) -> None:
    output = run(installed / "gateway", "config", cwd=empty)

    names = [line.split()[0] for line in output.splitlines()]
    assert names == [spec.name for spec in fields(Settings)]


def test_serve_needs_nothing_but_what_was_installed(installed: Path, tmp_path: Path) -> None:
    """No Redis on PATH either: the broker is the one that comes with the packages."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "application.py").write_text(APPLICATION)
    with Served(
        tmp_path / "run",
        "application:shouting",
        program=installed / "gateway",
        environment={"PATH": str(installed)},
        cwd=here,
    ) as served:
        with connect(served.ws_url) as client:
            client.send("hello")
            assert client.recv(timeout=10) == "HELLO"
        assert served.stop() == 0
