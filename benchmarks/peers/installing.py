"""Where the peers are installed: below ``build/peers``, which git ignores, and nowhere else.

Nothing of the machine is changed: no package is installed into it, /etc is left alone.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.processes import ROOT

INSTALLED = ROOT / "build" / "peers"
LOCK = ROOT / "requirements-bench.lock"
PYTHON = INSTALLED / "python" / "bin" / "python"


class Missing(Exception):
    """This machine lacks something. Says in one line what."""


def current(source: Path, folder: Path) -> bool:
    """Whether what this file asks for is what was installed there."""
    stamp = folder / ".installed"
    return stamp.is_file() and stamp.read_bytes() == source.read_bytes()


def install_once(source: Path, folder: Path, fill: Callable[[], None]) -> None:
    if not current(source, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fill()
        shutil.copyfile(source, folder / ".installed")


def missing_python() -> str | None:
    if current(LOCK, INSTALLED / "python"):
        return None
    return f"{LOCK.name} is not installed in {INSTALLED.relative_to(ROOT)}/python"


def install_python() -> None:
    """The Python peers, in an environment of their own."""

    def fill() -> None:
        run([sys.executable, "-m", "venv", str(INSTALLED / "python")])
        run([str(ROOT / "scripts" / "install-locked"), str(INSTALLED / "python"), str(LOCK)])

    install_once(LOCK, INSTALLED / "python", fill)


def run(command: list[str], folder: Path = ROOT) -> str:
    """Run to the end; its standard output.

    Raises:
        Missing: There is no such program, or it failed: the last line it wrote.
    """
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise Missing(f"{command[0]} is not installed") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise Missing(f"{' '.join(command[:4])} failed: {last}")
    return done.stdout
