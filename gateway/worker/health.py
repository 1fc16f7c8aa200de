"""Whether the workers of this port live and are ready, told by any of them.

Workers of one port share a folder, made by their supervisor. Each dates a file there about once a
second while it is ready; so whichever worker is asked knows of all. The date is of the monotonic
clock, which is one for all processes of a host and is never set.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

FOLDER_VARIABLE: Final = "GATEWAY_RUN_FOLDER"
FRESH_S: Final = 5.0


class PortHealth:
    """Readiness of all workers of one port.

    Args:
        folder: Shared by them; None for a worker that is alone.
    """

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / f"ready-{os.getpid()}" if folder is not None else None
        self._folder = folder
        self._ready = False

    def report(self, *, ready: bool) -> None:
        """This worker's own state; call it about once a second. Never raises."""
        self._ready = ready
        if self._file is None:
            return
        # A folder that has gone (something cleans up /tmp) costs what the others know of this
        # worker, not the worker.
        with suppress(OSError):
            if ready:
                self._file.touch()
                now = time.monotonic()
                os.utime(self._file, (now, now))
            else:
                self._file.unlink()

    def any_ready(self) -> bool:
        if self._ready:
            return True
        if self._folder is None:
            return False
        return any(_fresh(self._folder))


def ready_workers(folder: Path) -> set[int]:
    """The process ids of the workers that share ``folder`` and are ready."""
    pids = (file.name.partition("-")[2] for file in _fresh(folder))
    return {int(pid) for pid in pids if pid.isdecimal()}


def _fresh(folder: Path) -> Iterator[Path]:
    """The files that were dated lately, by the clock that ``PortHealth.report`` dates them by."""
    oldest = time.monotonic() - FRESH_S
    for file in folder.glob("ready-*"):
        with suppress(OSError):
            if file.stat().st_mtime >= oldest:
                yield file
