"""Workers that only hold sockets, workers that only run handlers."""

from __future__ import annotations

import json

import httpx
import pytest
from prometheus_client import REGISTRY

from tests.integration.applications import Gated
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import handshake, raw_websocket
from tests.support.trace_client import trace_client
from tests.support.waiting import eventually


async def statuses(served: InProcess, *paths: str) -> list[int]:
    async with httpx.AsyncClient(base_url=served.url, trust_env=False) as http:
        return [(await http.get(path)).status_code for path in paths]


async def test_a_handler_worker_holds_no_sockets_and_tells_how_it_is(
    settings: MakeSettings,
) -> None:
    async with in_process(settings(role="handler")) as served:
        counted = Counted(served)
        answer = await handshake(served.port)

        assert answer.status == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert counted("gateway_handshakes_refused_total", reason="role") == 1
        assert await statuses(served, "/livez", "/readyz", "/metrics") == [200, 200, 200]
        assert REGISTRY.get_sample_value("gateway_handler_workers") == 1
        assert REGISTRY.get_sample_value("gateway_handler_targets") == 0
        assert REGISTRY.get_sample_value("gateway_edges_without_handlers") == 0


async def test_an_edge_runs_no_handlers(settings: MakeSettings) -> None:
    async with (
        in_process(settings(role="edge")) as edge,
        in_process(settings(role="handler")) as handler,
        trace_client(edge.ws_url) as client,
    ):
        answers = [await client.ask(str(number)) for number in range(5)]

        assert client.worker == edge.worker.me
        assert {answer.handled_by for answer in answers} == {handler.worker.me}


async def test_an_edge_is_ready_without_handlers_and_shows_that_there_are_none(
    settings: MakeSettings,
) -> None:
    async with in_process(settings(role="edge")) as edge:
        assert await statuses(edge, "/livez", "/readyz") == [200, 200]
        edge.worker._housekeeping.fold()
        async with httpx.AsyncClient(base_url=edge.url, trust_env=False) as http:
            shown = (await http.get("/metrics")).text

    assert "gateway_handler_workers 0.0" in shown
    assert "gateway_workers 1.0" in shown
    assert "gateway_edges_without_handlers 1.0" in shown


async def test_messages_wait_for_a_handler_that_is_away(settings: MakeSettings) -> None:
    async with in_process(settings(role="edge")) as edge:
        async with in_process(settings(role="handler")):
            await eventually(lambda: edge.worker.parts.members.handlers, "a handler")
        await eventually(lambda: not edge.worker.parts.members.handlers, "its absence")
        async with raw_websocket(edge.port) as client:
            client.say(*map(str, range(10)))
            await eventually(lambda: edge.worker.parts.dispatcher.unanswered == 10, "the messages")
            async with in_process(settings(role="handler")):
                assert await client.texts(10) == [f"Received:{number}" for number in range(10)]


@pytest.mark.parametrize("offer", ["", "gateway.trace.v1"])
async def test_messages_wait_for_a_handler_only_so_long(settings: MakeSettings, offer: str) -> None:
    async with in_process(settings(role="edge", handler_seconds=0.4)) as edge:
        async with in_process(settings(role="handler")):
            await eventually(lambda: edge.worker.parts.members.handlers, "a handler")
        await eventually(lambda: not edge.worker.parts.members.handlers, "its absence")
        async with raw_websocket(edge.port, Sec_WebSocket_Protocol=offer or "none") as client:
            client.say("one", "two")
            if offer:
                _, *errors = map(json.loads, await client.texts(3))
                assert errors == [{"error": "handler failed"}] * 2
            else:
                goodbye, last = await client.rest()
                assert goodbye.text == "Bye!!!"
                assert last.closing == (1011, "handler failed")


async def test_a_handler_that_leaves_answers_what_it_was_given(settings: MakeSettings) -> None:
    """The lease says that it leaves first; what is on its way to it is still handled."""
    app = Gated()
    async with (
        in_process(settings(role="edge")) as edge,
        in_process(settings(role="handler", drain_seconds=20.0), app.gateway) as leaver,
        raw_websocket(edge.port) as client,
    ):
        client.say("one", "two")
        await eventually(lambda: app.started == ["one"], "the first")
        leaver.should_exit = True
        known = edge.worker.parts.members.known
        await eventually(lambda: known[leaver.worker.me].leaving, "the news")
        client.say("three")
        app.gate.set()

        assert await client.texts(3) == ["Received:one", "Received:two", "Received:three"]
