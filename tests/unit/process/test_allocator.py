"""Memory that long messages need again and again: in a process of its own, set for good."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from gateway.process.allocator import KEPT_BYTES, OPERATORS, keep_freed_memory, told

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
print(faults(10), kept)
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
    faults, kept = done.stdout.strip().split(" ", 1)
    return kept, int(faults)


def test_buffers_are_not_faulted_in_again() -> None:
    kept, faults = run()

    assert kept == "None"
    assert faults < PAGES_OF_A_ROUND / 10


def test_who_has_set_up_the_allocator_keeps_that() -> None:
    kept, faults = run(MALLOC_TRIM_THRESHOLD_="131072")

    assert kept == "MALLOC_TRIM_THRESHOLD_ is set"
    assert faults > PAGES_OF_A_ROUND


def refusing(_option: int, _value: int) -> int:
    return 0


@pytest.mark.parametrize(
    ("library", "why"),
    [
        (SimpleNamespace(mallopt=refusing), "the C library refuses it"),
        (SimpleNamespace(), "the C library has no mallopt"),
    ],
)
def test_a_library_that_cannot_is_told(
    monkeypatch: pytest.MonkeyPatch, library: object, why: str
) -> None:
    for name in OPERATORS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: library)

    assert keep_freed_memory() == why
    assert told(why) == {"kept_bytes": 0, "why": why}
    assert told(None) == {"kept_bytes": KEPT_BYTES}
