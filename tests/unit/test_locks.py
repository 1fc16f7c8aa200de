"""The lock files are complete, so that installing them resolves nothing.

Red if a line of a lock is taken out that something else in it needs: pip in hash mode would look
for the newest release of it then, and refuse it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest

from tests.support.locks import environment, grouped, metadata_in, missing, pins

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PYTHONS = ["3.11", "3.12", "3.13"]
DEPENDENCIES = PROJECT["project"]["dependencies"]
GROUPS = PROJECT["dependency-groups"]
WANTED = {
    "requirements.lock": DEPENDENCIES,
    "requirements-build.lock": [
        *PROJECT["build-system"]["requires"],
        *grouped(GROUPS, "build"),
    ],
    "requirements-dev.lock": [*DEPENDENCIES, *grouped(GROUPS, "dev")],
}
INSTALLED = metadata_in(Path(sysconfig.get_path("purelib")))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", WANTED)
def test_a_lock_lists_all_that_it_needs(lock: str, python: str) -> None:
    markers = environment(python)
    pinned = pins((ROOT / lock).read_text(), markers)

    assert pinned
    assert missing(WANTED[lock], pinned, INSTALLED, markers) == []


def test_what_an_extra_asks_for_counts() -> None:
    wanted = ["coverage[toml]>=7"]
    metadata = {"coverage": ['tomli; extra == "toml"']}

    assert missing(wanted, {"coverage": "7.17"}, metadata, environment("3.11")) == [
        'coverage needs tomli; extra == "toml"; the lock has none'
    ]


def test_a_pin_that_another_does_not_take_is_told() -> None:
    wanted, metadata = ["a"], {"a": ["b<2"], "b": []}

    lines = missing(wanted, {"a": "1", "b": "2.1"}, metadata, environment("3.13"))

    assert lines == ["a needs b<2; the lock has 2.1"]


def test_a_pin_for_another_python_is_none_here() -> None:
    lock = "a==1 ; python_full_version < '3.12' \\\n    --hash=sha256:00\nb==2 \\\n"

    assert pins(lock, environment("3.11")) == {"a": "1", "b": "2"}
    assert pins(lock, environment("3.13")) == {"b": "2"}


INSTALLERS = [
    "Makefile", "Dockerfile", "loadtest/Dockerfile", "scripts/install-locked",
    "scripts/make-venv", "benchmarks/peers/installing.py",
]  # fmt: skip


@pytest.mark.parametrize("file", INSTALLERS)
def test_nothing_that_installs_resolves(file: str) -> None:
    commands = [
        line
        for line in (ROOT / file).read_text().splitlines()
        if re.search(r"\bpip\b.* (install|wheel)\b|^ *pip install", line)
        and line.lstrip()[0] != "#"
    ]

    assert [line for line in commands if "--no-deps" not in line] == []


def test_only_one_script_installs_from_an_index() -> None:
    text = (ROOT / "scripts/install-locked").read_text()

    assert "pip install --no-deps --only-binary :all: --require-hashes -r" in text


@pytest.mark.parametrize("lock", sorted(f.name for f in ROOT.glob("*.lock")))
def test_a_lock_names_no_index_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()

    assert "://" not in text
    for pin in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in pin, pin.splitlines()[0]


def locking(*asked: str) -> dict[str, list[str]]:
    """What ``make lock`` would run, by the lock that it writes."""
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "lock", *asked],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    commands = [shlex.split(line) for line in told.stdout.splitlines()]
    return {command[-1]: command for command in commands if command[-2] == "-o"}


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ((), []),
        (("UPGRADE=redis typer",), ["--upgrade-package", "redis", "--upgrade-package", "typer"]),
        (("UPGRADE=all",), ["--upgrade"]),
    ],
)
def test_make_lock_moves_no_pin_unasked(asked: tuple[str, ...], wanted: list[str]) -> None:
    """uv keeps what a file pins that it writes with ``-o``, and moves all of what it prints."""
    commands = locking(*asked)

    assert commands.keys() == {file.name for file in ROOT.glob("*.lock")}
    for command in commands.values():
        assert command[:3] == ["uv", "pip", "compile"]
        assert {"--universal", "--generate-hashes"} < set(command)
        at = [place for place, word in enumerate(command) if word.startswith("--upgrade")]
        assert command[at[0] : at[0] + len(wanted)] == wanted if at else wanted == []


def test_what_two_locks_pin_they_pin_alike() -> None:
    """They are installed into one environment. The load test has parts of it in another."""
    theirs = {
        lock: pins((ROOT / lock).read_text(), environment("3.11"))
        for lock in (*WANTED, "requirements-loadtest.lock")
    }
    ours = theirs["requirements.lock"]

    for pinned in theirs.values():
        assert {name: pinned[name] for name in pinned.keys() & ours.keys()}.items() <= ours.items()
    commands = locking()
    for lock in theirs.keys() - {"requirements.lock"}:
        assert " -c requirements.lock " in " ".join(commands[lock])
