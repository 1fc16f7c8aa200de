"""More and more, until latency or errors break: where is the knee?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

from loadtest.scenarios.base import Phases
from loadtest.tally import percentile
from loadtest.users.gateway import GatewayUser
from loadtest.verdict import FULL_CPU, KEPT, LATE_S, Expected, unanswered

GROWTH: Final = 1.25
STEP_S: Final = 4
TRIES: Final = 2  # a machine has other things to do now and then
JUDGE_S: Final = 2  # tallies of a second are complete this much later
ERROR_BUDGET: Final = 0.001


class RampUser(GatewayUser):
    """Sends its share of the present rate."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one rate did."""

    rate: float
    answered: float
    p99_ms: float
    gateway_cpu: float
    redis_cpu: float
    machine_cpu: float
    why: str  # it did not hold; empty when it did
    generator: bool = False  # which was at fault

    def __str__(self) -> str:
        held = self.why or "held"
        return (
            f"{self.rate:.0f}/s: {self.answered:.0f} answers/s, p99 {self.p99_ms:.1f} ms, "
            f"gateway {self.gateway_cpu:.0f} % CPU, Redis {self.redis_cpu:.0f} %, "
            f"the machine {self.machine_cpu:.0f} %: {held}"
        )


class Ramp(Phases):
    """Starts at the rate that was asked for; each step is a quarter more."""

    def __init__(self) -> None:
        super().__init__()
        self._forget()

    def begin(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self.steps: list[Step] = []
        self._level = 0
        self._failures = 0
        self._since_s = 0.0

    @property
    def _rate(self) -> float:
        return float(self.run.arguments.rate * GROWTH**self._level)

    def order(self, elapsed_s: float) -> dict[str, Any]:  # noqa: ARG002
        return {"per_user": self._rate / self.run.arguments.users}

    def act(self, elapsed_s: float) -> bool:
        if elapsed_s < self._since_s + STEP_S + JUDGE_S:
            return True
        step = self._measure()
        self.steps.append(step)
        self.run.say(f"  {step}")
        self._since_s = elapsed_s
        self._failures = self._failures + 1 if step.why else 0
        self._level += not step.why
        return self._failures < TRIES

    def _measure(self) -> Step:
        """Judge a step by its whole seconds, without the first, in which the rate changed."""
        begun_s = self.record.load_from_unix_s + self._since_s
        seconds = range(math.ceil(begun_s) + 1, math.floor(begun_s + STEP_S))
        tally = self.record.tally
        sent, answered = (
            sum(tally.counts[name][second] for second in seconds) / len(seconds)
            for name in ("sent", "answered")
        )
        p99_ms = percentile(tally.all_times("echo", seconds), 0.99) * 1e3
        samples = [s for s in self.record.samples if int(s.at_unix_s) in seconds]
        why, generator = self._why(seconds, sent, answered, p99_ms, self._rate)
        return Step(
            rate=self._rate,
            answered=answered,
            p99_ms=p99_ms,
            gateway_cpu=sum(s.gateway_cpu or 0 for s in samples) / max(1, len(samples)),
            redis_cpu=sum(s.redis_cpu or 0 for s in samples) / max(1, len(samples)),
            machine_cpu=sum(s.machine_cpu for s in samples) / max(1, len(samples)),
            why=why,
            generator=generator,
        )

    def _why(
        self, seconds: range, sent: float, answered: float, p99_ms: float, rate: float
    ) -> tuple[str, bool]:
        tally = self.record.tally
        load = [self.record.load[second] for second in seconds if second in self.record.load]
        busy = sum(cpu >= FULL_CPU or late_s >= LATE_S for cpu, late_s in load)
        if busy * 2 >= max(1, len(load)):
            return "the generator has no CPU left", True
        if sent < KEPT * rate:
            return f"only {sent:.0f}/s could be sent", False
        bad = sum(
            tally.counts[name][second]
            for name in (*tally.names("fault "), *tally.names("close "))
            for second in seconds
        )
        if bad > ERROR_BUDGET * rate * len(seconds):
            return f"{bad} errors", False
        if p99_ms > self.run.arguments.p99_ms:
            return f"p99 over {self.run.arguments.p99_ms:g} ms", False
        return unanswered(sent, answered), False

    def judge(self) -> None:
        if self.steps and self.steps[-1].generator:
            self.record.reasons.append(
                "generator overloaded before the gateway: more processes (LOCUST_PROCESSES)"
            )
        if all(step.why for step in self.steps):
            self.record.reasons.append("not even the first rate held")
        for step in self.steps:
            self.record.notes.append(str(step))

    def expected(self) -> Expected:
        return Expected(breaks=True)

    def figures(self) -> dict[str, str]:
        held = [step for step in self.steps if not step.why]
        broke = self.steps[-1:] if self._failures == TRIES else []
        found = {}
        if held:
            knee = held[-1]
            found["knee"] = f"{knee.answered:.0f} messages/s at p99 {knee.p99_ms:.1f} ms"
            self.record.results |= {
                "knee_per_s": knee.answered,
                "knee_p99_ms": knee.p99_ms,
                "knee_gateway_cpu": knee.gateway_cpu,
                "knee_redis_cpu": knee.redis_cpu,
                "knee_machine_cpu": knee.machine_cpu,
            }
        if broke:
            found["broke"] = str(broke[0])
        elif held:
            found["broke"] = "it did not, in this time"
        return found


USERS = (RampUser,)
SHAPE = Ramp
