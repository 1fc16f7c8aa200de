"""Server processes that end with the run, however it ends."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
STARTED_WITHIN_S = 30.0
ENDED_WITHIN_S = 3.0


class DidNotStart(Exception):
    """A peer did not come up. Tells what it wrote."""


@contextmanager
def started(
    command: list[str],
    log: Path,
    *,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[str]]:
    """A process with its standard output in a pipe and its errors in ``log``.

    It and its children are gone when this is left. Should this process be killed, the kernel sends
    SIGTERM (where `setpriv` is): not SIGKILL, that would leave nginx's workers behind.
    """
    setpriv = shutil.which("setpriv")
    mortal = [setpriv, "--pdeathsig", "TERM"] if setpriv else []
    with (
        log.open("ab") as errors,
        subprocess.Popen(
            [*mortal, *command],
            cwd=folder,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    family = []
    if process.poll() is None:
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        try:
            process.wait(ENDED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
    for left in psutil.wait_procs(family, timeout=1.0)[1]:
        left.kill()


def port_of(process: subprocess.Popen[str], log: Path) -> int:
    """The port that a server prints as its first line.

    Raises:
        DidNotStart: It ended, or printed nothing in time.
    """
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], STARTED_WITHIN_S)
    line = process.stdout.readline() if readable else ""
    if not line.strip().isdigit():
        raise DidNotStart(f"{process.args!r} printed {line!r}: {log.read_text()[-2000:]}")
    return int(line)


def wait_until(
    check: Callable[[], object], what: str, process: subprocess.Popen[str], log: Path
) -> None:
    """Look until it is true.

    Raises:
        DidNotStart: The process ended, or it took too long.
    """
    end = time.monotonic() + STARTED_WITHIN_S
    while not check():
        if process.poll() is not None or time.monotonic() > end:
            raise DidNotStart(f"{what} did not happen: {log.read_text()[-2000:]}")
        time.sleep(0.02)
