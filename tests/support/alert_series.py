"""Series as ``promtool`` takes them, in tests of the shipped alerts."""

from __future__ import annotations

import subprocess

from gateway.metrics.families import SECONDS_BUCKETS

Series = dict[str, str | None]  # what is told of each; None is nothing

INTERVAL_S = 30


def steady(value: float) -> str:
    return f"{value}+0x80"


def rising(per_s: float) -> str:
    return f"0+{per_s * INTERVAL_S:g}x80"


def histogram(name: str, seconds: float) -> Series:
    """Ten a second, each of them so long."""
    bounds = [*map(str, SECONDS_BUCKETS), "+Inf"]
    return {
        f'{name}_bucket{{job="gateway",instance="a",le="{bound}"}}': rising(
            10 if float(bound) >= seconds else 0
        )
        for bound in bounds
    }


def of_port(name: str, **labels: str) -> str:
    told = {"job": "gateway", "instance": "a", **labels}
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in told.items()) + "}"


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
