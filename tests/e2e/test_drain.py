"""Leaving on purpose: a thousand sockets, closed one by one, and nothing left unanswered."""

from __future__ import annotations

import asyncio
import os
import signal
from bisect import bisect_left
from pathlib import Path

import pytest

from tests.support.crowd import Crowd, Ledger
from tests.support.drained import most_early_s
from tests.support.serve import Served
from tests.support.trace_client import trace_client
from tests.support.waiting import eventually

CONNECTIONS = 1000
DRAIN_S = 5
LATE_S = 15  # a busy machine included


def serving(folder: Path, *options: str) -> Served:
    return Served(
        folder, "--workers", "2", "--drain-seconds", str(DRAIN_S), *options,
        environment={"GATEWAY_TRACE": "on"},
    )  # fmt: skip


def most_in_a_second(times: list[float]) -> int:
    """The largest number of closes within any one second."""
    times = sorted(times)
    return max(bisect_left(times, at + 1.0) - place for place, at in enumerate(times))


def assert_drained(ledger: Ledger, closed: int, *, since: float, workers: int) -> None:
    """See ``most_early_s``."""
    assert not ledger.broken
    assert ledger.answered + ledger.in_doubt == ledger.sent
    assert ledger.closes == {3001: closed}
    assert most_early_s(ledger.closed_at, since=since, window_s=DRAIN_S, workers=workers) <= 0
    # Those of a second come together when a busy machine was late by two.
    assert most_in_a_second(ledger.closed_at) <= 3 * closed / DRAIN_S


@pytest.mark.parametrize("whom", ["serve", "process group", "every process"])
async def test_stopping_closes_every_socket_evenly_within_the_window(
    tmp_path: Path, whom: str
) -> None:
    """Ctrl-C reaches the group and the supervisor sends its own signal: workers take it as one.

    A service manager (systemd's KillMode=control-group) signals every process, the broker and its
    watchdog too: red when these end before the workers have drained.
    """
    with serving(tmp_path) as served:
        async with Crowd([served.ws_url], CONNECTIONS, per_second=1) as crowd:
            crowd.start_sending()
            await crowd.send_for(1)
            for visitor in crowd.clients:
                visitor.closed_for_good = True
            family = served.family()
            since = crowd.loop.time()
            if whom == "serve":
                served.signal(signal.SIGTERM)
            elif whom == "process group":
                os.killpg(served.pid, signal.SIGINT)
            else:
                for pid in [served.pid, *(process.pid for process in family)]:
                    os.kill(pid, signal.SIGTERM)
            code = await asyncio.to_thread(served.wait, DRAIN_S + LATE_S)
            ledger = await crowd.stop_sending(within_s=1)

            assert code == 0
            assert_drained(ledger, CONNECTIONS, since=since, workers=2)
            assert not [process for process in family if process.is_running()]


async def test_stopping_one_worker_drains_it_and_another_takes_its_place(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        async with Crowd([served.ws_url], CONNECTIONS, per_second=1) as crowd:
            crowd.start_sending()
            await crowd.send_for(1)
            leaving, staying = served.worker_pids()
            held = crowd.workers()
            [name] = [e["worker_id"] for e in served.events("worker starts") if e["pid"] == leaving]
            since = crowd.loop.time()
            os.kill(leaving, signal.SIGTERM)
            await eventually(lambda: name not in crowd.workers(), "its end", DRAIN_S + LATE_S)
            await crowd.everybody()
            ledger = await crowd.stop_sending()

            assert_drained(ledger, held[name], since=since, workers=1)
            await eventually(lambda: leaving not in served.worker_pids(), "the end of its process")
            await eventually(lambda: len(served.worker_pids()) == 2, "a new worker")
            assert staying in served.worker_pids()


async def test_a_second_signal_ends_everything_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--drain-seconds", "60") as served:
        async with Crowd([served.ws_url], 100, per_second=1) as crowd:
            for visitor in crowd.clients:
                visitor.closed_for_good = True
            served.signal(signal.SIGINT)
            await eventually(lambda: bool(crowd.ledger.closes), "the drain's beginning")
            served.signal(signal.SIGINT)

            await asyncio.to_thread(served.wait, LATE_S)
            await eventually(lambda: crowd.ledger.closes.total() == 100, "the end of all sockets")
            assert crowd.ledger.closes[3001] < 100


async def test_a_drain_waits_for_a_handler_that_is_at_work(tmp_path: Path) -> None:
    with serving(tmp_path, "tests.support.apps.badday:gateway") as served:
        async with trace_client(served.ws_url) as client:
            asked = asyncio.create_task(client.ask("wait 2"))
            await asyncio.sleep(0)  # it is sent
            await (await client.socket.ping())  # and has been read
            assert not asked.done()
            served.signal(signal.SIGTERM)
            assert await asyncio.to_thread(served.wait, DRAIN_S + LATE_S) == 0

            assert (await asked).text == "Received:wait 2"
            await client.socket.wait_closed()
            assert client.socket.close_code == 3001


async def test_killing_serve_takes_its_workers_and_its_broker_along(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        workers = served.worker_pids()
        family = served.family()
        assert len(family) >= 4  # two workers, the keeper, its server
        served.signal(signal.SIGKILL)

        await eventually(
            lambda: not any(p.is_running() and p.status() != "zombie" for p in family),
            f"the end of {workers} and the broker",
            within_s=DRAIN_S + 10,
        )
