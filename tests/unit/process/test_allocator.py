"""Memory that long messages need again and again: in a process of its own, set for good."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from gateway.process.allocator import OPERATORS

PAGES_OF_A_ROUND = 64 * 200_000 // 4096
PROGRAM = """
import resource, sys
from gateway.process.allocator import keep_freed_memory

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        buffers = [b"x" * size for size in range(200_000, 200_064)]
        del buffers
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory()
faults(5)
print(kept, faults(10))
"""

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="no mallopt in this C library"
)


def run(**environment: str) -> tuple[str, int]:
    clean = {name: value for name, value in os.environ.items() if name not in OPERATORS}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=clean | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    kept, faults = done.stdout.split()
    return kept, int(faults)


def test_buffers_are_not_faulted_in_again() -> None:
    kept, faults = run()

    assert kept == "True"
    assert faults < PAGES_OF_A_ROUND / 10


def test_who_has_set_up_the_allocator_keeps_that() -> None:
    kept, faults = run(MALLOC_TRIM_THRESHOLD_="131072")

    assert kept == "False"
    assert faults > PAGES_OF_A_ROUND
