"""Everything that is known of one run: what the report is made of."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Final

from loadtest.arguments import Arguments
from loadtest.tally import Tally

SETTLE_S: Final = 45  # from the end of the load to the end of the books, at most


@dataclass(slots=True)
class Sample:
    """The machine and the gateway in one second."""

    at_unix_s: float
    machine_cpu: float = 0.0  # per cent of all cores: whoever uses them
    gateway_cpu: float | None = None  # per cent of one core, all workers together
    gateway_bytes: int | None = None
    gateway_files: int | None = None
    workers: int | None = None
    redis_cpu: float | None = None
    redis_bytes: int | None = None
    connections: float | None = None  # as the gateway counts them
    connected: int = 0  # as the users count them


@dataclass(slots=True)
class Event:
    """Something that is marked on the plots."""

    at_unix_s: float
    label: str


@dataclass(slots=True)
class Record:
    """One run. Times are wall clock seconds."""

    arguments: Arguments
    host: str
    begun_unix_s: float
    machine: str = ""
    generators: int = 1  # processes
    load_from_unix_s: float = 0.0  # everybody is connected
    load_to_unix_s: float = 0.0
    tally: Tally = field(default_factory=Tally)
    samples: list[Sample] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    load: dict[int, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    before: dict[str, float] | None = None  # /metrics
    after: dict[str, float] | None = None
    stopped: bool = False  # by somebody, before it had come to its end
    notes: list[str] = field(default_factory=list)
    results: dict[str, float] = field(default_factory=dict)  # for other programs
    reasons: list[str] = field(default_factory=list)  # the scenario's own, why it is not clean

    def mark(self, at_unix_s: float, label: str) -> None:
        self.events.append(Event(at_unix_s, label))

    def seconds(self) -> range:
        """Of the load, without those that were cut off."""
        return range(int(self.load_from_unix_s) + 1, int(self.load_to_unix_s))

    def answering(self) -> range:
        """The seconds of the load, and those in which the last of it was answered.

        A latency is kept with the second in which it ended: a gateway that stalls at the end of
        the load shows it only afterwards.
        """
        return range(int(self.load_from_unix_s) + 1, int(self.load_to_unix_s) + SETTLE_S)
