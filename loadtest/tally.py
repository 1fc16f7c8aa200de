"""What was seen, second by second, so that processes can add it up. No I/O and no clock."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

# Latencies are kept in steps of 2.5 %: exact enough for a plot, and a second costs a few hundred
# bytes, however many messages it had.
_STEPS_PER_E: Final = 40.0
_SHORTEST_S: Final = 1e-5


def step_of(seconds: float) -> int:
    return round(math.log(max(seconds, _SHORTEST_S)) * _STEPS_PER_E)


def seconds_of(step: int) -> float:
    return math.exp(step / _STEPS_PER_E)


def percentile(steps: Mapping[int, int], share: float) -> float:
    """Seconds within which this share (0-1) of the observations lies; 0 when there are none."""
    total = sum(steps.values())
    if not total:
        return 0.0
    wanted, seen = share * total, 0
    for step in sorted(steps):
        seen += steps[step]
        if seen >= wanted:
            return seconds_of(step)
    return seconds_of(max(steps))


class Tally:
    """Counts and durations under a name and a second of the wall clock."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[int]] = defaultdict(Counter)
        self.times: dict[str, dict[int, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
        self.examples: list[str] = []

    def count(self, name: str, now_unix_s: float, by: int = 1) -> None:
        self.counts[name][int(now_unix_s)] += by

    def time(self, name: str, now_unix_s: float, seconds: float) -> None:
        self.times[name][int(now_unix_s)][step_of(seconds)] += 1

    def example(self, text: str) -> None:
        """Keep the first few of what went wrong."""
        if len(self.examples) < 20:
            self.examples.append(text)

    def total(self, name: str) -> int:
        return self.counts[name].total() if name in self.counts else 0

    def names(self, prefix: str) -> list[str]:
        return sorted(name for name in self.counts if name.startswith(prefix))

    def all_times(self, name: str, seconds: Iterable[int] | None = None) -> Counter[int]:
        """Durations of these seconds (all by default) together."""
        together: Counter[int] = Counter()
        by_second = self.times.get(name, {})
        for second in by_second if seconds is None else seconds:
            together.update(by_second.get(second, {}))
        return together

    def wire(self) -> dict[str, Any]:
        """As plain values, for a message between processes or a file."""
        return {
            "counts": {name: dict(by) for name, by in self.counts.items()},
            "times": {
                name: {second: dict(steps) for second, steps in by.items()}
                for name, by in self.times.items()
            },
            "examples": self.examples,
        }

    def add(self, wire: Mapping[str, Any]) -> None:
        """Add what another process has seen."""
        for name, by in wire["counts"].items():
            for second, count in by.items():
                self.counts[name][int(second)] += count
        for name, seconds in wire["times"].items():
            for second, steps in seconds.items():
                into = self.times[name][int(second)]
                for step, count in steps.items():
                    into[int(step)] += count
        for text in wire["examples"]:
            self.example(text)
