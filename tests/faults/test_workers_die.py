"""Workers die: every message is answered, or its client saw the close."""

from __future__ import annotations

import os
import signal

from tests.faults.conftest import PUSHES, Report
from tests.support.crowd import Crowd
from tests.support.stand import Stand
from tests.support.waiting import eventually

CLIENTS = 200


async def test_a_handler_worker_is_killed(stand: Stand, report: Report) -> None:
    """Nobody sees it. Red without ``Dispatcher.worker_gone``: what it owed is lost."""
    edge = await stand.serve("--role", "edge")
    handlers = [await stand.serve("--role", "handler") for _ in range(2)]
    async with Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        stand.worker_of(handlers[0]).kill()
        await crowd.send_for(4)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes
        assert ledger.slowest_s < 5  # the supervisor ended the lease at once
        assert ledger.attempts[2] > 0


async def test_a_host_with_handlers_disappears(stand: Stand, report: Report) -> None:
    """With its supervisor gone too, only the end of the lease tells.

    Red without the sweep of lapsed workers (``Membership``): what it owed is lost.
    """
    edge = await stand.serve("--role", "edge")
    handlers = [await stand.serve("--role", "handler") for _ in range(2)]
    async with Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        worker = stand.worker_of(handlers[0])
        handlers[0].signal(signal.SIGKILL)
        worker.kill()
        await crowd.send_for(14)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes
        assert not ledger.late


async def test_an_edge_worker_is_killed(stand: Stand, report: Report) -> None:
    """Only its own clients see it, and what they had not got is in doubt, counted exactly.

    Red without ``Registry.finish``: the registry keeps its orphans.
    """
    served = [await stand.serve() for _ in range(2)]
    async with Crowd([s.ws_url for s in served], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        held = dict(crowd.workers())
        victim = stand.worker_of(served[0])
        [dead] = [w["worker_id"] for w in served[0].events("worker starts")]
        victim.kill()
        await crowd.send_for(5)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered + ledger.in_doubt == ledger.sent
        assert ledger.closes == {1006: held[dead]}
        assert not ledger.late


async def test_a_worker_among_siblings_is_killed(stand: Stand, report: Report) -> None:
    """Two workers of one port: those of the other keep their sockets.

    Red without ``Dispatcher.worker_gone``: what it owed to the other's clients is lost.
    """
    served = await stand.serve("--workers", "2")
    async with Crowd([served.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        held = crowd.workers()
        victim = served.worker_pids()[0]
        [dead] = [e["worker_id"] for e in served.events("worker starts") if e["pid"] == victim]
        os.kill(victim, signal.SIGKILL)
        await crowd.send_for(5)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered + ledger.in_doubt == ledger.sent
        assert sum(ledger.closes.values()) == held[dead]


async def test_every_worker_is_killed_at_once(stand: Stand, report: Report) -> None:
    """Nobody is left who knew them. Red without the sweep: the registry keeps their orphans."""
    served = [await stand.serve() for _ in range(3)]
    async with Crowd([s.ws_url for s in served], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        for worker in [stand.worker_of(s) for s in served]:
            worker.kill()
        await crowd.send_for(6)
        await crowd.everybody()
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered + ledger.in_doubt == ledger.sent
        assert ledger.closes == {1006: CLIENTS}


async def test_a_worker_is_frozen_past_its_lease(stand: Stand, report: Report) -> None:
    """It wakes up, finds its fence, answers nobody twice, steals nothing, and goes.

    Red when it does not see its own fence (``Changes.fenced``): its clients hang on a worker
    to which nobody listens any more.
    """
    served = [await stand.serve() for _ in range(3)]
    async with Crowd([s.ws_url for s in served], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        held = crowd.workers()
        frozen = stand.worker_of(served[0])
        [name] = [w["worker_id"] for w in served[0].events("worker starts")]
        frozen.suspend()
        await crowd.send_for(14)
        frozen.resume()
        await eventually(lambda: name not in crowd.workers(), "its clients to leave", 15)
        await crowd.send_for(2)
        await crowd.everybody()
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered + ledger.in_doubt == ledger.sent
        assert ledger.closes == {3001: held[name]}
        assert not frozen.is_running() or frozen.status() == "zombie"
