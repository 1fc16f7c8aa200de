"""A worker whose limit of open files is low: what it takes, and what it says when none is left."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from gateway.edge.open_files import OWN_FILES, RESERVE
from gateway.edge.sockets.descriptor_reserve import TOLD_EACH_S
from tests.support.serve import Served
from tests.support.waiting import blocking_eventually, eventually, eventually_async

LIMIT = 256
FIT = LIMIT - OWN_FILES - RESERVE
KNOCKING = LIMIT + 100  # more than there can be descriptors


def metric(served: Served, name: str) -> float:
    [value] = re.findall(rf"^{name} (\S+)$", served.get("/metrics")[1], re.MULTILINE)
    return float(value)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A worker that may not have more than ``LIMIT`` files open, whatever it does."""
    with Served(tmp_path_factory.mktemp("limited"), ulimit=f"-n {LIMIT}") as served:
        yield served


def test_a_soft_limit_that_is_too_low_is_raised(tmp_path: Path) -> None:
    variables = {"GATEWAY_MAX_CONNECTIONS": "500"}
    with Served(tmp_path, environment=variables, ulimit=f"-S -n {LIMIT}") as served:
        assert metric(served, "process_max_fds") == 500 + OWN_FILES + RESERVE
        assert metric(served, "gateway_max_connections") == 500
        assert not served.events("open files bound connections")


async def test_what_a_hard_limit_leaves_no_room_for_is_refused_and_said(limited: Served) -> None:
    """15,000 connections were promised, and past the limit clients were closed without a word."""
    [event] = limited.events("open files bound connections")
    assert (event["max_connections"], event["wanted"], event["open_files"]) == (FIT, 15000, LIMIT)
    assert metric(limited, "gateway_max_connections") == FIT

    async with AsyncExitStack() as stack:
        for _ in range(FIT):
            await stack.enter_async_context(connect(limited.ws_url, proxy=None))
        with pytest.raises(InvalidStatus) as refused:
            await connect(limited.ws_url, proxy=None)

        assert refused.value.response.status_code == 503
        assert b"full" in refused.value.response.body


async def test_out_of_descriptors_probes_are_answered_and_clients_hear_503(
    limited: Served,
) -> None:
    """Connections that say nothing are not counted as clients, and took every descriptor."""
    loop = asyncio.get_running_loop()
    async with connect(limited.ws_url, proxy=None) as client:
        since = loop.time()
        with ExitStack() as stack:
            for _ in range(KNOCKING):
                stack.enter_context(socket.create_connection(("127.0.0.1", limited.port)))
            await eventually(lambda: limited.events("out of file descriptors"), "a line in the log")
            for path in ("/livez", "/readyz", "/metrics"):
                status, _ = await asyncio.to_thread(limited.get, path)
                assert status == 200
            assert metric(limited, "process_open_fds") <= LIMIT
            with pytest.raises(InvalidStatus) as refused:
                await connect(limited.ws_url, proxy=None)
            assert refused.value.response.status_code == 503
            assert refused.value.response.headers["Retry-After"] == "1"
            assert b"descriptors" in refused.value.response.body
            await client.send("still here")
            assert await client.recv() == "Received:still here"
        told = len(limited.events("out of file descriptors"))
        assert 1 <= told <= 1 + (loop.time() - since) // TOLD_EACH_S  # not one a connection

        async def let_in() -> bool:
            try:
                async with connect(limited.ws_url, proxy=None):
                    return True
            except InvalidStatus:
                return False

        await eventually_async(let_in, "a handshake after the others have gone", 5)
    blocking_eventually(
        lambda: (
            'gateway_handshakes_refused_total{reason="open_files"} 0'
            not in limited.get("/metrics")[1]
        ),
        "a count",
    )
