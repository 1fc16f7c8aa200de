"""One run, as its coordinator sees it: its phases and its record."""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import gevent
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest import comparison
from loadtest.arguments import Arguments, Refused
from loadtest.form import asked_in, same_place
from loadtest.generator import TALLY
from loadtest.generators import Generators
from loadtest.limits import check_room, ports, raise_files
from loadtest.observer import Observer
from loadtest.outcome import Judged, Outcome
from loadtest.progress import progress
from loadtest.record import SETTLE_S, Record
from loadtest.stands.base import Stand
from loadtest.stands.choice import stand_for

HARM_S: Final = 300.0
CONNECT_S: Final = 30.0  # and more for many users
TELL_S: Final = 5.0  # for generators that are stopped, to send what they counted last

log = logging.getLogger(__name__)


class Scenario(Judged, Protocol):
    """What a run asks its scenario for: ``loadtest.scenarios.base.Phases`` says what each means."""

    @property
    def everybody(self) -> int: ...
    def spawn_rate(self, arguments: Arguments) -> float: ...
    def begin(self) -> None: ...
    def order(self, elapsed_s: float) -> dict[str, Any]: ...
    def act(self, elapsed_s: float) -> bool: ...
    def judge(self) -> None: ...


class Run:
    """Coordinates test after test of one scenario; the page may start several."""

    def __init__(
        self, environment: Environment, arguments: Arguments, *, several_machines: bool
    ) -> None:
        self.environment = environment
        self.runner: Any = environment.runner
        self.first = arguments
        self._several_machines = several_machines
        self.results = Path(arguments.results)
        self._first_stand = stand_for(arguments, self.results / "gateway.log")
        self.stand: Stand = self._first_stand
        environment.host = self.stand.host
        self.arguments = arguments
        self.outcome = Outcome(self.results)
        self.phase = "idle"
        self.hurried = False
        self._watching: Any = None
        self.generators = Generators(self.runner)
        self.runner.register_message(TALLY, self._tallied)
        environment.events.test_stopping.add_listener(lambda **_: self.stop())
        environment.events.test_stop.add_listener(lambda **_: self.finish())
        self.begin_record()

    def begin_record(self) -> None:
        self.record = Record(self.arguments, self.stand.host, time.time(), machine=_machine())
        self.generators.begin(self.stand)

    # The test's life

    def under_way(self) -> bool:
        """Whether there is a run: the first tick of a test begins it, or it is refused.

        Not locust's ``test_start``: before that the first tick says how many users are made.
        """
        if self.phase == "idle":
            try:
                self._begin()
            except Refused as refused:
                # Nobody is left to exit for: the page stands, and may start another test.
                log.error("refused: %s", refused)
                return False
        return True

    def _begin(self) -> None:
        """What was typed into locust's page may differ from the command line.

        Raises:
            Refused: What was typed cannot be.
        """
        options = vars(self.environment.parsed_options)
        asked = self.asked_in({**options, "host": self.environment.host})
        if isinstance(self.runner, MasterRunner) and not self.runner.clients.ready:
            raise Refused("no process is there to make the load")
        if asked.asks_for_own_gateway or same_place(asked, self.first):
            self.stand = self._first_stand
        else:
            self.stand = stand_for(asked, self.results / "gateway.log")
        self.environment.host = self.stand.host
        self.arguments = asked
        self.begin_record()
        comparison.read_before(self.record, self.stand.api)
        self.record.mark(time.time(), "start")
        self.phase = "connecting"
        self.say(
            f"{self.arguments.scenario}: {self.arguments.users} users, "
            f"{self.arguments.rate:g} messages/s, {self.arguments.seconds:g} s at {self.stand.host}"
        )
        self.outcome.begin()
        self._watching = gevent.spawn(self._watch)

    def asked_in(self, typed: Mapping[str, Any]) -> Arguments:
        """What was typed into locust's page, or of the command line where nothing was.

        Raises:
            Refused: What was typed cannot be, or has no room on this machine.
        """
        asked = asked_in(typed, self.first, self._first_stand.host)
        if not self._several_machines:
            check_room(asked, files=raise_files(), ports_per_source=ports())
        return asked

    def tick(self, scenario: Scenario) -> bool:
        """What is to be done in this second. False: the test is over."""
        now_s = time.time()
        if self.phase == "connecting":
            connected = self.generators.connected
            ramp_s = scenario.everybody / scenario.spawn_rate(self.arguments)
            patience_s = CONNECT_S + self.arguments.users / 50 + ramp_s
            if connected >= self.arguments.users:
                self._load(scenario)
            elif now_s - self.record.begun_unix_s > patience_s:
                self.record.reasons.append(
                    f"only {connected} of {self.arguments.users} users could connect"
                )
                self._load(scenario)
            elif self.runner.user_count:
                self.generators.send(**scenario.order(0.0))
        if self.phase == "load":
            elapsed_s = now_s - self.record.load_from_unix_s
            over = elapsed_s >= self.arguments.seconds and not self._harm_lasts(elapsed_s)
            if over or not scenario.act(elapsed_s):
                self._settle(scenario)
                return False
            self.generators.send(**scenario.order(elapsed_s))
        return True

    def _harm_lasts(self, elapsed_s: float) -> bool:
        """What was begun is seen to its end, whatever time was asked for; but not forever."""
        return self.stand.busy() and elapsed_s < self.arguments.seconds + HARM_S

    def _load(self, scenario: Scenario) -> None:
        self.phase = "load"
        self.record.load_from_unix_s = time.time()
        self.record.mark(time.time(), "all connected")
        scenario.begin()

    def _settle(self, scenario: Scenario) -> None:
        """No more load: let what is on its way arrive, and compare the books."""
        self.record.load_to_unix_s = time.time()
        self.record.mark(time.time(), "end of load")
        self.phase = "settling"
        self.generators.send(end=True)
        end = time.monotonic() + SETTLE_S
        while time.monotonic() < end:
            if self.generators.count and self.generators.ended:
                break
            gevent.sleep(0.1)
        else:
            self.record.reasons.append("a generator did not come to an end")
        self.record.generators = self.generators.count
        comparison.read_after(self.record, self.stand.api)
        missing = self.arguments.users - self.generators.standing
        if missing > 0:
            self.record.reasons.append(f"{missing} users were not connected at the end")
        scenario.judge()
        self.phase = "settled"

    def stop(self) -> None:
        """Locust ends the test. Before its time: generators may say what they counted last."""
        if self.phase not in {"connecting", "load", "settling"}:
            return
        now_s = time.time()
        if self.phase != "settling":
            self.record.load_from_unix_s = self.record.load_from_unix_s or now_s
            self.record.load_to_unix_s = now_s
        self.phase = "stopping"
        self.record.stopped = True
        self.record.mark(now_s, "stopped")
        if self.record.before is not None:
            self.record.notes.append("Stopped: the server's counters were not compared.")
        self.generators.send(end=True, stopped=True)
        end = time.monotonic() + TELL_S
        while not self.hurried and time.monotonic() < end:
            if self.generators.ended:
                break
            gevent.sleep(0.05)
        self.record.generators = max(1, self.generators.count)

    def finish(self) -> None:
        """The test is over: write the report. Does not wait, so nothing comes between."""
        if self.phase == "idle":
            return
        if self.phase not in {"settled", "stopping"}:
            self.stop()
        if self.phase == "idle":
            return  # somebody else did, meanwhile
        self.phase = "idle"
        if self._watching is not None:
            self._watching.kill(block=False)
        self.outcome.write(self.record, self.environment.shape_class)
        if self.environment.web_ui is not None:
            self.outcome.tell()

    def _tallied(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002
        if self.phase in {"idle", "settled"}:
            return
        told = msg.data
        self.record.tally.add(told["tally"])
        self.generators.heard(told)
        for second, (cpu, late_s) in told["load"].items():
            most = self.record.load[int(second)]
            most[:] = max(most[0], cpu), max(most[1], late_s)

    # Watching

    def _watch(self) -> None:
        observer = Observer(self.stand, self.arguments.redis_metrics)
        while True:
            begun_s = time.monotonic()
            sample = observer.look()
            sample.connected = self.generators.connected
            self.record.samples.append(sample)
            if len(self.record.samples) % 2 == 0:
                self.say(progress(self.record, self.phase, self.generators.connected))
            gevent.sleep(max(0.1, 1.0 - (time.monotonic() - begun_s)))

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def close(self, *, at_once: bool = False) -> None:
        """End what was started here."""
        self._first_stand.close(at_once=at_once)


def _machine() -> str:
    return (
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}"
    )
