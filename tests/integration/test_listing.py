"""``gateway connections --user``: one user's connections, at whichever worker they are."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from urllib.parse import quote, unquote

import pytest
from typer.testing import CliRunner

from gateway import Connection, Gateway, Message
from gateway.cli import main as cli
from gateway.protocol.ids import WorkerId
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, cluster
from tests.support.rawclient import close_frame, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually_async

ANN = "Ann Zoë 🙂"


def naming() -> Gateway:
    """An application whose users are called what the query says."""
    gateway = Gateway()

    @gateway.on_connect
    async def name(connection: Connection) -> str | None:
        return unquote(connection.query) or None

    @gateway.on_message
    async def echo(message: Message) -> str:
        return "heard"

    return gateway


@pytest.fixture
async def served(
    settings: MakeSettings, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[list[InProcess]]:
    """Two workers that the command finds; Ann is at both, Bob at the first, and somebody too."""
    for variable in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("GATEWAY_REDIS_URL", redis_server.url)
    monkeypatch.setenv("GATEWAY_REDIS_PREFIX", settings().redis_prefix)
    async with AsyncExitStack() as stack:
        workers = await stack.enter_async_context(cluster(settings(), 2, [naming(), naming()]))
        for at, user in ((0, ANN), (0, "bob"), (0, ""), (1, ANN)):
            path = f"/communicate?{quote(user)}"
            client = await stack.enter_async_context(raw_websocket(workers[at].port, path))
            client.say("hello")  # it is answered once the registry has the connection
            await client.texts(1)
        yield workers


async def connections(*arguments: str) -> list[tuple[WorkerId, str | None]]:
    """What the command lists: owner and user of each."""
    done = await asyncio.to_thread(
        CliRunner().invoke, cli.app, ["connections", "--json", *arguments], catch_exceptions=False
    )
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [(WorkerId(row["connection"].partition(".")[0]), row["user"]) for row in rows]


async def test_all_connections_of_a_user_are_listed(served: list[InProcess]) -> None:
    owners = sorted(one.worker.me for one in served)

    assert await connections("--user", ANN) == [(owner, ANN) for owner in owners]


async def test_a_worker_may_be_named_as_well(served: list[InProcess]) -> None:
    owner = served[1].worker.me

    assert await connections("--user", ANN, "--worker", owner) == [(owner, ANN)]


async def test_a_user_that_is_not_there_has_none(served: list[InProcess]) -> None:
    done = await asyncio.to_thread(CliRunner().invoke, cli.app, ["connections", "--user", "an"])

    assert (done.exit_code, done.stdout) == (0, "none\n")


async def test_whoever_has_no_user_is_not_the_user_without_a_name(
    served: list[InProcess],
) -> None:
    assert await connections("--user", "") == []


async def test_without_a_user_all_are_listed_by_worker_and_age(served: list[InProcess]) -> None:
    first, second = (one.worker.me for one in served)

    wanted = [(first, ANN), (first, "bob"), (first, None), (second, ANN)]
    assert await connections() == sorted(wanted, key=lambda row: row[0])


async def test_a_user_whose_client_has_gone_is_no_longer_listed(served: list[InProcess]) -> None:
    async with raw_websocket(served[0].port, "/communicate?cid") as client:
        client.say("hello")
        await client.texts(1)
        assert await connections("--user", "cid") == [(served[0].worker.me, "cid")]
        client.send(close_frame(1000))
        await client.rest()

    async def gone() -> bool:
        return await connections("--user", "cid") == []

    await eventually_async(gone, "the removal")
