"""Ctrl-C and SIGTERM: whoever ends a load test gets a verdict, and nothing is left behind.

Python would raise KeyboardInterrupt in whichever greenlet happens to run. Here a signal is
an event like others, and ends what locust waits for, so that it comes to its end as usual.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

import gevent
from locust.runners import STATE_INIT, WorkerRunner

from loadtest.outcome import NO_TEST

if TYPE_CHECKING:
    from locust.env import Environment

    from loadtest.run import Run

TOLD_TO_S: Final = 15.0  # the coordinator tells its processes to end, and waits for what they know
PR_SET_PDEATHSIG: Final = 1


class Endings:
    """How this process ends when it is told to."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._signals = 0
        self._environment: Environment | None = None
        self._run: Run | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            # In the background of a shell Ctrl-C is meant for somebody else.
            if signal.getsignal(number) is not signal.SIG_IGN:
                gevent.signal_handler(number, self._told, number)
        # A process of `--processes` that has no coordinator yet would wait for it for minutes.
        os.register_at_fork(after_in_child=_end_with_parent)

    def know(self, environment: Environment, run: Run | None) -> None:
        """What there is to be ended. Without a run this process only makes load."""
        self._environment, self._run = environment, run

    def _told(self, number: int) -> None:
        if os.getpid() != self._pid:
            self._end_worker(number)
            return
        self._signals += 1
        if self._signals > 2:
            return  # it is as quick as it can be
        if self._run is None or self._environment is None:
            if self._environment is None:
                print(NO_TEST, flush=True)
            raise SystemExit(2 if self._environment is None else 0)
        if self._signals == 2:
            self._at_once(self._run)
        self._run.say("stopping; once more, and it ends at once")
        self._end(self._environment, self._run, number)

    def _end(self, environment: Environment, run: Run, number: int) -> None:
        runner: Any = environment.runner
        shape = runner.shape_greenlet
        page = environment.web_ui
        if shape is not None:
            shape.kill(block=False)  # without the page, or with --autostart, locust waits for it
        if page is not None and page.greenlet is not None:
            if number == signal.SIGINT:  # the other is locust's own
                page.stop()
        elif shape is None and run.outcome.reasons is None:
            runner.quit()
            run.outcome.tell()
            run.close()
            raise SystemExit(run.outcome.exit_code)

    def _at_once(self, run: Run) -> None:
        run.hurried = True
        run.finish()
        run.outcome.tell()
        run.close(at_once=True)
        raise SystemExit(run.outcome.exit_code)

    def _end_worker(self, number: int) -> None:
        """Ctrl-C reaches all processes of a terminal. The coordinator asks what we know first."""
        runner = self._environment.runner if self._environment is not None else None
        self._signals += 1
        by_ctrl_c = number == signal.SIGINT and "--worker" not in sys.argv
        works = isinstance(runner, WorkerRunner) and runner.state != STATE_INIT
        if by_ctrl_c and works and self._signals == 1:
            gevent.sleep(TOLD_TO_S)
        raise SystemExit(0)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
