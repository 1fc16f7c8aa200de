"""Replacing workers under load, by the product's own means, and old beside new."""

from __future__ import annotations

import signal

import pytest

from tests.faults.conftest import PUSHES, Report
from tests.support.crowd import Crowd
from tests.support.stand import Stand
from tests.support.waiting import eventually

CLIENTS = 200
PREVIOUS = "tests.support.apps.previous_version"


async def test_a_rolling_restart_by_hup(stand: Stand, report: Report) -> None:
    """Every socket is closed with 3001 once, and nothing is handled twice.

    Red without the drain in ``GatewayServer.shutdown``: all are closed with 1012 at once.
    """
    served = await stand.serve("--workers", "2", environment={"GATEWAY_DRAIN_SECONDS": "6"})
    async with Crowd([served.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(2)
        old = set(crowd.workers())
        served.signal(signal.SIGHUP)
        await eventually(lambda: not old & set(crowd.workers()), "the old workers' end", 15)
        await crowd.send_for(3)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent - ledger.in_doubt
        assert ledger.closes == {3001: CLIENTS}
        assert ledger.attempts.keys() == {1}
        # Their sockets are gone; what they owe to other workers may take the rest of the window.
        await eventually(lambda: len(served.worker_pids()) == 2, "the old workers' exit", 15)


@pytest.mark.parametrize("old", ["edge", "handler"])
async def test_an_old_worker_beside_a_new_one(stand: Stand, report: Report, old: str) -> None:
    """Both ways: envelopes of the previous version are read, and written for those who need it.

    Red when ``encode`` writes the newest version to everybody.
    """
    edge = await stand.serve("--role", "edge", module=PREVIOUS if old == "edge" else "gateway")
    await stand.serve("--role", "handler", module=PREVIOUS if old == "handler" else "gateway")
    async with Crowd([edge.ws_url], CLIENTS, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(3)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert all(s.metric("gateway_envelopes_unreadable_total") == 0 for s in stand.served)


async def test_without_publish_no_reply_arrives(stand: Stand, report: Report) -> None:
    """There is no hidden short cut from an edge to a handler.

    Red with one: when the edge runs handlers as well.
    """
    edge = await stand.serve("--role", "edge")
    await stand.serve("--role", "handler")
    async with Crowd([edge.ws_url], 20, pushes_per_second=PUSHES) as crowd:
        crowd.start_sending()
        await crowd.send_for(1)
        answered = (await crowd.stop_sending()).answered
        with stand.redis.client() as admin:
            admin.acl_setuser("default", enabled=True, commands=["-publish"])
        before = crowd.ledger.sent
        crowd.start_sending()
        await crowd.send_for(2)
        assert crowd.ledger.sent > before
        assert crowd.ledger.answered == answered
        with stand.redis.client() as admin:
            admin.acl_setuser("default", enabled=True, commands=["+publish"])
        ledger = await crowd.stop_sending()

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
