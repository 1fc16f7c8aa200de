"""Child processes that end with the test run, however it ends."""

from __future__ import annotations

import shutil


def mortal(command: list[str]) -> list[str]:
    """The same command, killed by the kernel when the test run is gone (where that can be had).

    A run that is itself killed, or that ends a test that hangs, cleans nothing up.
    """
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", *command] if setpriv else command
