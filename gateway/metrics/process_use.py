"""What this process uses, for a port whose workers are read together."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Final

from gateway.metrics.families import (
    PROCESS_CPU_SECONDS,
    PROCESS_MEMORY_BYTES,
    PROCESS_MOST_FILES,
    PROCESS_OPEN_FILES,
    WORKER_USE,
)

_STATM: Final = Path("/proc/self/statm")
_OPEN_FILES: Final = Path("/proc/self/fd")


class _ProcessUse:
    """What was told of it until now."""

    __slots__ = ("_cpu_s",)

    def __init__(self) -> None:
        self._cpu_s = 0.0

    def fold(self) -> None:
        """Tell what was used until now. Costs some 50 us, whatever is open."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime
        PROCESS_CPU_SECONDS.inc(max(0.0, cpu_s - self._cpu_s))  # a fork begins at nothing
        self._cpu_s = cpu_s
        try:
            pages = int(_STATM.read_bytes().split()[1])
            # Since Linux 6.2 the size of this folder is how many it holds. To list the folder of
            # 10,000 connections stops the worker for 10 to 25 ms; so before that, no number.
            files = _OPEN_FILES.stat().st_size
        except (OSError, ValueError, IndexError):
            return  # not Linux
        most_files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        PROCESS_MOST_FILES.set(most_files)
        PROCESS_MEMORY_BYTES.set(pages * resource.getpagesize())
        if files:
            PROCESS_OPEN_FILES.set(files)
            WORKER_USE.labels(of="open_files").set(files / most_files)


_USE: Final = _ProcessUse()  # of the process: several workers may share it, in tests


def fold() -> None:
    """Tell what the process used until now."""
    _USE.fold()
