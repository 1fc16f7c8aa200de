"""How a run ends that does not come to its end, or never begins."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.support.children import mortal
from tests.support.loadtest import ROOT, environment, locust, run
from tests.support.ports import free_port
from tests.support.waiting import blocking_eventually

ENDED_S = 40.0


@pytest.mark.parametrize(
    ("number", "interrupts"),
    [
        (signal.SIGINT, signal.SIG_DFL),
        (signal.SIGTERM, signal.SIG_DFL),
        (signal.SIGTERM, signal.SIG_IGN),  # begun in the background of a shell
    ],
)
def test_a_run_that_is_stopped_says_so_and_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, interrupts: signal.Handlers
) -> None:
    command = [
        locust(), "-f", "loadtest/locustfile.py", "--headless", "--only-summary",
        "--scenario", "steady", "--users", "10", "--rate", "20", "--seconds", "60",
        "--results", str(tmp_path / "results"),
    ]  # fmt: skip
    log = tmp_path / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            mortal(command), env=environment(tmp_path), cwd=ROOT, stdout=written, stderr=written,
            stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, interrupts),  # noqa: PLW1509 (no threads)
        )  # fmt: skip
    try:
        blocking_eventually(lambda: " load " in log.read_text(), "load", ENDED_S)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)

        assert process.wait(ENDED_S) == 1
        _, alive = psutil.wait_procs(family, timeout=ENDED_S)
        assert alive == []
        assert "not clean: stopped before its time" in log.read_text()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("steady --rate abc", "loadtest: --rate abc is not a number"),
        ("calm", "loadtest: there is no scenario 'calm'"),
        ("steady --users 1000000 --rate 100000", "loadtest: 1000000 users do not fit: "),
        ("steady --host http://127.0.0.1:{port}", "loadtest: nobody listens at http://127.0.0.1"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_2(
    tmp_path: Path, options: str, says: str
) -> None:
    outcome = run(tmp_path, *options.format(port=free_port()).split())

    assert outcome.code == 2
    [line] = outcome.output.splitlines()
    assert line.startswith(says)
