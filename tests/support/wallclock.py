"""A wall clock that a test may set, for one program and its children, while it runs."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

# What says the time of day, and nothing else: the monotonic clock goes on, as it does when
# somebody sets the clock of a host. Stamps of files are the kernel's, and go on too.
_SOURCE = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead_s;

__attribute__((constructor)) static void begin(void) {
    const char *name = getenv("WALL_CLOCK_AHEAD");
    int file = name ? open(name, O_RDONLY) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) ahead_s = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && ahead_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *ahead_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    if (!failed && now) {
        now->tv_sec = precise.tv_sec;
        now->tv_usec = precise.tv_nsec / 1000;
    }
    return failed;
}

time_t time(time_t *now) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (now) *now = precise.tv_sec;
    return precise.tv_sec;
}
"""


class WallClock:
    """Says by how much the programs that run with ``environment`` are ahead of the true time."""

    def __init__(self, folder: Path) -> None:
        assert COMPILER is not None
        source, library = folder / "wallclock.c", folder / "wallclock.so"
        self._ahead = folder / "ahead"
        self._ahead.write_bytes(struct.pack("=q", 0))
        source.write_text(_SOURCE)
        subprocess.run(
            [COMPILER, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True
        )
        self.environment = {"LD_PRELOAD": str(library), "WALL_CLOCK_AHEAD": str(self._ahead)}

    def set_ahead(self, seconds: int) -> None:
        """Set the clock of all of them, at once."""
        with self._ahead.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
