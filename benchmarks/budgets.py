"""What was promised, and whether a report shows it."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.channel_cases import (
    CENTRIFUGE,
    MANNERS,
    NCHAN,
    SUBSCRIBERS,
    TEXT,
    history_label,
    manner_label,
)
from benchmarks.floods import FLOODERS, FLOODS, flood_label
from benchmarks.results import Raw, case_of, is_void, median, ratio

IDLE_BYTES = 15_000
SANSIO = "uvicorn websockets-sansio"
TWO_WORKERS = "two-workers"
OURS = "gateway's socket layer"


@dataclass(frozen=True)
class Shown:
    """``figure`` for people; ``met`` is None where it was not measured."""

    key: str
    promise: str
    figure: str
    met: bool | None


@dataclass(frozen=True)
class RatioBudget:
    """``label``'s figure is at most (or at least) ``bound`` times that of ``base``."""

    key: str
    promise: str
    case: str
    label: str
    base: str
    figure: str
    bound: float
    at_least: bool = False

    def shown(self, raw: Raw) -> Shown:
        found = ratio(raw, self.case, self.label, self.base, self.figure)
        if found is None:
            return Shown(self.key, self.promise, "not measured", None)
        met = found >= self.bound if self.at_least else found <= self.bound
        return Shown(self.key, self.promise, f"{found:.3g} x{self._notes(raw)}", met)

    def _notes(self, raw: Raw) -> str:
        """What was really done: a machine may be too small for what was promised."""
        if self.key == TWO_WORKERS:
            return f" on {raw['machine']['cores we may use']} cores"
        case = case_of(raw, self.case) or {"runs": []}
        notes = [run["rounds"][-1]["notes"] for run in case["runs"] if run["label"] == self.label]
        return f" ({notes[0]})" if notes and notes[0] else ""


def _routed() -> list[RatioBudget]:
    rows = [
        ("nchan", "nchan", "less CPU than nchan", 1.0),
        ("socket.io", "socket.io", "a third of Socket.IO's CPU", 1 / 3),
        ("channels", "channels", "a twentieth of Channels' CPU", 1 / 20),
    ]
    return [
        RatioBudget(
            f"{key}-{count}",
            f"routed echo, {count} connections: {promise} ({bound:.2g} x)",
            f"routed-{count}",
            "gateway",
            base,
            "total_cpu_us",
            bound,
        )
        for key, base, promise, bound in rows
        for count in (200, 1000)
    ]


def _flooded() -> list[RatioBudget]:
    return [
        RatioBudget(
            f"flood-{flood.replace(' ', '-')}-{flooders}",
            f"{flood}, {flooders} at once: others' p99 within 2 x",
            "flooded",
            flood_label(flooders, flood),
            "undisturbed",
            "p99_ms",
            2.0,
        )
        for flooders in (1, FLOODERS)
        for flood in FLOODS
    ]


def _fanout() -> list[RatioBudget]:
    bounds = {"one at a time": 1.1, "bursts": 0.25}
    rows = [
        RatioBudget(
            f"fanout-{count}-{manner.replace(' ', '-')}-{peer.dialect}",
            f"fan-out to {count:,}, {manner}, {peer.name}: CPU within {bound:g} x nchan's",
            f"fanout-{count}",
            manner_label(peer, manner),
            manner_label(NCHAN, manner),
            "total_cpu_us",
            bound,
        )
        for manner, bound in bounds.items()
        for peer in (CENTRIFUGE, TEXT)
        for count in SUBSCRIBERS
    ]
    return rows + [
        RatioBudget(
            f"fanout-history-{manner.replace(' ', '-')}",
            f"fan-out with history, {manner}: CPU within 1.5 x of without",
            "fanout-history",
            history_label(manner, kept=True),
            history_label(manner, kept=False),
            "total_cpu_us",
            1.5,
        )
        for manner in MANNERS
    ]


RATIOS = [
    *_routed(),
    *_fanout(),
    RatioBudget(
        "p50-2",
        "routed echo, 2 connections: p50 within 1.5 x nchan's",
        "routed-2", "gateway", "nchan", "p50_ms", 1.5,
    ),
    RatioBudget(
        "slow-reader",
        "a slow reader leaves others' p99 within 2 x",
        "disturbed", "beside a slow reader", "undisturbed", "p99_ms", 2.0,
    ),
    RatioBudget(
        "storm",
        "a connect storm of 2,000/s leaves others' p99 within 2 x",
        "disturbed", "beside a connect storm", "undisturbed", "p99_ms", 2.0,
    ),
    *_flooded(),
    RatioBudget(
        "socket-layer",
        "socket layer: CPU within 1.25 x bare picows",
        "echo", OURS, "picows", "total_cpu_us", 1.25,
    ),
    RatioBudget(
        "plain-asgi",
        "as plain ASGI: websockets-sansio takes at least 1.5 x the CPU",
        "echo", SANSIO, f"{OURS}, plain ASGI", "total_cpu_us", 1.5, at_least=True,
    ),
    RatioBudget(
        TWO_WORKERS,
        "two workers: at least 1.8 x the throughput of one (on cores that allow it)",
        "workers", "gateway, 2 workers", "gateway, 1 worker", "per_s", 1.8, at_least=True,
    ),
]  # fmt: skip


def idle(raw: Raw) -> Shown:
    promise = f"idle connection: {IDLE_BYTES // 1000} KB"
    case = case_of(raw, "idle")
    run = (
        next((r for r in case["runs"] if r["label"] == "gateway, 1 worker"), None) if case else None
    )
    if run is None or is_void(run):
        return Shown("idle", promise, "not measured", None)
    found = median(run, "idle_bytes")
    return Shown("idle", promise, f"{found / 1000:.1f} KB", found <= IDLE_BYTES)


def all_shown(raw: Raw) -> list[Shown]:
    return [*(budget.shown(raw) for budget in RATIOS), idle(raw)]
