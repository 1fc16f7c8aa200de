"""How the C library's allocator is set up for long messages."""

from __future__ import annotations

import ctypes
import os
from typing import Final

# Of mallopt(3), for glibc.
M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
KEPT_BYTES: Final = 64 << 20
SHARED_BYTES: Final = 32 << 20  # the most that it takes
OPERATORS: Final = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


def keep_freed_memory() -> str | None:
    """Let this process keep up to 64 MB that it has freed, in place of giving it back at once.

    A message of 64 KB is in some ten buffers on its way. As it is set up, glibc gives back what has
    become free at the end of the heap whenever that is more than twice the largest of them, and
    the next messages fault the same pages in again, one by one: a third of what such a message
    costs. Who has set up the allocator in the environment keeps that.

    Returns:
        Why it is not set; None: it is. Other C libraries have other allocators, left alone.
    """
    if (named := next((name for name in OPERATORS if name in os.environ), None)) is not None:
        return f"{named} is set"
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl, macOS
        return "the C library has no mallopt"
    kept = mallopt(M_TRIM_THRESHOLD, KEPT_BYTES), mallopt(M_MMAP_THRESHOLD, SHARED_BYTES)
    return None if all(kept) else "the C library refuses it"


def told(why_not: str | None) -> dict[str, object]:
    """The fields of `freed memory` in the log, of what ``keep_freed_memory`` has returned."""
    return {"kept_bytes": KEPT_BYTES} if why_not is None else {"kept_bytes": 0, "why": why_not}
