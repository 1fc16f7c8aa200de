"""What is said of a run while it runs."""

from __future__ import annotations

import time

from loadtest.record import Record
from loadtest.tally import percentile


def progress(record: Record, phase: str, connected: int) -> str:
    """Where a run stands, in one line."""
    second = int(time.time()) - 2  # the last one of which everything is known
    counts = record.tally.counts
    echoes = record.tally.all_times("echo", [second])
    if record.arguments.channels:
        echoes = record.tally.all_times("delivery", [second])
    published = (
        f"published {counts['published'][second]}/s  delivered {counts['delivered'][second]}/s  "
        if record.arguments.channels
        else ""
    )
    pushed = f"pushed {counts['pushed'][second]}/s  " if counts["pushed"] else ""
    faults = sum(record.tally.total(name) for name in record.tally.names("fault "))
    return (
        f"{time.time() - record.begun_unix_s:5.0f} s  {phase:<10}  "
        f"connected {connected}  sent {counts['sent'][second]}/s  "
        f"answered {counts['answered'][second]}/s  {pushed}{published}"
        f"p50 {percentile(echoes, 0.5) * 1e3:.1f} ms  "
        f"p99 {percentile(echoes, 0.99) * 1e3:.1f} ms  "
        f"faults {faults}  generator {record.load[second][0]:.0f} % CPU"
    )
