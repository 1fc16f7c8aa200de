"""``batch`` of ``Gateway`` and of ``gateway.client``: whatever there is to do, at every worker."""

from __future__ import annotations

import asyncio
from typing import Any

import gateway
from gateway import Receipt, UnknownChannel
from gateway.commands import (
    Broadcast,
    Command,
    Disconnect,
    Publish,
    Send,
    SendToUser,
    Subscribe,
)
from tests.integration.conftest import MakeSettings
from tests.integration.test_channels import CHANNELS, last_connection
from tests.integration.test_client_channels import client_of
from tests.support.inprocess import cluster
from tests.support.rawclient import raw_websocket


async def test_a_batch_reaches_connections_and_channels_of_all_workers(
    settings: MakeSettings,
) -> None:
    """Of a client, of a handler's gateway, and of a client that blocks."""
    async with (
        cluster(own := settings(channel=CHANNELS), 2) as workers,
        raw_websocket(workers[0].port) as ann,
        raw_websocket(workers[1].port) as bob,
        client_of(own) as client,
    ):
        here, there = (last_connection(worker) for worker in workers)
        joined = await client.batch([Subscribe(here, "room:1"), Subscribe(there, "hall")])
        assert joined == [Receipt.WRITTEN] * 2

        def batch(n: int) -> list[Command]:
            return [
                Broadcast(["room:1", "none:1", "hall"], n),
                Send(here, f"only {n}", key="k"),
                Publish("room:1", n, idempotency_key=f"k{n}"),
                Send("nobody", "x"),
                SendToUser("nobody", "x"),
            ]

        def block() -> list[Any]:
            with client_of(own) as blocking:
                return blocking.batch(batch(3))

        for n, done in (
            (1, await client.batch(batch(1))),
            (2, await workers[0].gateway.batch(batch(2))),
            (3, await asyncio.to_thread(block)),
        ):
            everywhere, written, published, gone, nobody = done
            assert isinstance(everywhere, list)
            assert [type(each) for each in everywhere] == [
                gateway.Published,
                UnknownChannel,
                gateway.Published,
            ]
            assert isinstance(published, gateway.Published)
            assert published.offset == 2 * n
            assert (written, gone, nobody) == (Receipt.WRITTEN, Receipt.GONE, [])
            assert sorted(await ann.texts(3)) == [str(n), str(n), f"only {n}"]
            assert await bob.texts(1) == [str(n)]

        assert await client.batch([Disconnect(there, 4001, "bye")]) == [Receipt.WRITTEN]
        assert (await bob.rest())[-1].closing == (4001, "bye")
