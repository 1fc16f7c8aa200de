"""How a run ends that does not come to its end, or never begins."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support.children import mortal
from tests.support.loadtest import ROOT, environment, locust, run
from tests.support.ports import free_port
from tests.support.waiting import blocking_eventually

ENDED_S = 60.0  # everything else of this tier runs at the same time


HEADLESS = ("--headless", "--only-summary")


@contextmanager
def begun(
    folder: Path,
    *options: str,
    interrupts: signal.Handlers = signal.SIG_DFL,
    extra: Mapping[str, str] | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A load test that would last long, and its log. It is not left running."""
    command = [
        locust(), "-f", "loadtest/locustfile.py", "--web-host", "127.0.0.1", "--web-port",
        str(free_port()), "--scenario", "steady", "--users", "10", "--rate", "20", "--seconds",
        "60", "--loglevel", "WARNING", "--results", str(folder / "results"), *options,
    ]  # fmt: skip
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(
            mortal(command), env=environment(folder, extra), cwd=ROOT, stdout=written,
            stderr=written, stdin=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, interrupts),  # noqa: PLW1509 (no threads)
        )  # fmt: skip
    try:
        yield process, log
    finally:
        process.kill()
        process.wait()


def with_redis_at(listening: socket.socket) -> dict[str, str]:
    return {"GATEWAY_REDIS_URL": f"redis://127.0.0.1:{listening.getsockname()[1]}"}


def two_processes() -> tuple[str, ...]:
    port = str(free_port())
    return ("--processes", "2", "--master-port", port, "--master-bind-port", port)


@pytest.mark.parametrize(
    ("options", "number", "interrupts"),
    [
        (HEADLESS, signal.SIGINT, signal.SIG_DFL),
        (HEADLESS, signal.SIGTERM, signal.SIG_DFL),
        (HEADLESS, signal.SIGTERM, signal.SIG_IGN),  # begun in the background of a shell
        ((*HEADLESS, *two_processes()), signal.SIGINT, signal.SIG_DFL),
        (("--autostart",), signal.SIGINT, signal.SIG_DFL),  # with the page
        (("--autostart",), signal.SIGTERM, signal.SIG_DFL),
    ],
)
def test_a_run_that_is_stopped_says_so_and_leaves_nothing_behind(
    tmp_path: Path, options: tuple[str, ...], number: signal.Signals, interrupts: signal.Handlers
) -> None:
    with begun(tmp_path, *options, interrupts=interrupts) as (process, log):
        blocking_eventually(lambda: " load " in log.read_text(), "load", ENDED_S)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)

        assert process.wait(ENDED_S) == 1
        _, alive = psutil.wait_procs(family, timeout=ENDED_S)
        assert alive == []
        said = log.read_text()
        assert said.count("not clean: stopped before its time") == 1
        assert "counters" not in said  # nobody waited until they agreed
        assert "Interrupt" not in said
        assert "Traceback" not in said
        [summary] = (tmp_path / "results").glob("*/summary.md")
        assert "counters were not compared" in summary.read_text()
        assert (summary.parent / "report.html").exists()


@pytest.mark.parametrize(
    ("scenario", "under_way", "books"),
    [
        ("steady", r"  sent [1-9]", r"\nmessages: [1-9]\d* sent, \d+ answered"),
        ("fanout", r"  published [1-9]", r"\nledger: [1-9]\d* owed to subscribers = \d+ delivered"),
    ],
)
def test_a_run_that_is_stopped_prints_its_ledger(
    tmp_path: Path, scenario: str, under_way: str, books: str
) -> None:
    """Red when only the report has it: whoever stops a run wants to know what it was about."""
    with begun(tmp_path, *HEADLESS, "--scenario", scenario) as (process, log):
        blocking_eventually(
            lambda: re.search(under_way, log.read_text()) is not None, "traffic", ENDED_S
        )
        process.send_signal(signal.SIGTERM)

        assert process.wait(ENDED_S) == 1
        assert re.search(books, log.read_text())


def test_ctrl_c_while_the_gateway_starts_says_that_no_test_was_run(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,  # for a Redis: so it is still starting
        begun(tmp_path, *HEADLESS, extra=with_redis_at(silent)) as (process, log),
    ):
        gateways = tmp_path / "results" / "gateway.log"
        blocking_eventually(gateways.exists, "the start of the gateway", ENDED_S)
        family = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)

        assert process.wait(ENDED_S) == 2
        _, alive = psutil.wait_procs(family, timeout=ENDED_S)
        assert alive == []
        assert log.read_text() == "no test was run\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("steady --rate abc", "loadtest: --rate abc is not a number"),
        ("steady --run-time 30s", "loadtest: run-time is not used here: "),
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
