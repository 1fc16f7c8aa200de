"""Clients that do not read: what waits for them is bounded, and so is the patience with them."""

from __future__ import annotations

import pytest
from prometheus_client import REGISTRY

from gateway.edge.connection import ClientConnection
from tests.integration.applications import talkative
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import RawClient, raw_websocket
from tests.support.waiting import eventually

OUTBOX = 200_000


def buffered(served: InProcess) -> int:
    """What waits for the one client of this worker; 0 once it has gone."""
    return sum(
        member._socket.buffered_bytes
        for member in served.worker.parts.hub
        if isinstance(member, ClientConnection) and member._socket is not None
    )


async def stop_reading(served: InProcess, client: RawClient) -> None:
    """Make the client deaf, and fill what the kernel takes for it until something waits, or the
    patience with it was over before a busy machine came to look.
    """
    client.stop_reading()
    hub = served.worker.parts.hub
    while len(hub) and not buffered(served):
        sent = Counted(served)
        client.say("50000")
        await eventually(lambda: sent("gateway_messages_sent_total") or not len(hub), "a reply")  # noqa: B023


@pytest.mark.parametrize(("past_it", "dropped"), [(0, False), (1, True)])
async def test_an_outbox_may_be_full_but_not_fuller(
    settings: MakeSettings, past_it: int, dropped: bool
) -> None:
    async with (
        in_process(settings(outbox_bytes=OUTBOX), talkative()) as served,
        raw_websocket(served.port) as client,
    ):
        await stop_reading(served, client)
        counted = Counted(served)
        client.say(str(OUTBOX - buffered(served) + past_it))
        await eventually(
            lambda: buffered(served) >= OUTBOX or not len(served.worker.parts.hub), "the reply"
        )

        assert counted("gateway_connections_closed_total", code="3008") == int(dropped)


async def test_a_client_that_was_dropped_sees_its_connection_end(settings: MakeSettings) -> None:
    async with (
        in_process(settings(outbox_bytes=OUTBOX), talkative()) as served,
        raw_websocket(served.port) as client,
    ):
        await stop_reading(served, client)
        client.say(str(OUTBOX))
        await eventually(lambda: not len(served.worker.parts.hub), "the abort")
        client.start_reading()

        await client.ended()


async def test_a_client_that_reads_nothing_is_dropped_in_time(settings: MakeSettings) -> None:
    async with (
        in_process(settings(stall_seconds=0.5), talkative()) as served,
        raw_websocket(served.port) as client,
    ):
        counted = Counted(served)
        await stop_reading(served, client)
        await eventually(
            lambda: counted("gateway_connections_closed_total", code="3008") == 1, "the abort"
        )

        assert not len(served.worker.parts.hub)


async def test_a_client_that_reads_again_in_time_misses_nothing(settings: MakeSettings) -> None:
    async with (
        in_process(settings(), talkative()) as served,
        raw_websocket(served.port) as client,
    ):
        await stop_reading(served, client)
        client.start_reading()
        client.say("3")
        texts = [""]
        while texts[-1] != "xxx":
            texts += await client.texts(1)

        assert set(texts[1:-1]) == {"x" * 50000}


async def test_a_close_that_a_deaf_client_never_takes_ends_with_its_patience(
    settings: MakeSettings,
) -> None:
    async with (
        in_process(settings(stall_seconds=0.5, messages_per_second=100), talkative()) as served,
        raw_websocket(served.port) as client,
    ):
        await stop_reading(served, client)
        client.say(*["0"] * 200)

        await eventually(lambda: not len(served.worker.parts.hub), "the end")


async def test_bytes_that_wait_are_shown(settings: MakeSettings) -> None:
    async with (
        in_process(settings(), talkative()) as served,
        raw_websocket(served.port) as client,
    ):
        await stop_reading(served, client)

        await eventually(
            lambda: REGISTRY.get_sample_value("gateway_outbox_bytes") == buffered(served) > 0,
            "the gauge",
        )
