"""A host dies with its members: they are gone everywhere, and the others are told."""

from __future__ import annotations

import asyncio
import signal

from tests.faults.channel_stand import SUBSCRIBERS, serve
from tests.faults.conftest import Report
from tests.support.centrifuge_client import CentrifugeClient, centrifuge_client
from tests.support.channel_crowd import ChannelCrowd
from tests.support.stand import SWEPT_S, Stand
from tests.support.waiting import eventually

ROOM = "room:1"
STAY = 100


async def members(client: CentrifugeClient) -> set[str]:
    reply = await client.ask(presence={"channel": ROOM})
    return set(reply["presence"]["presence"])


async def count(client: CentrifugeClient) -> int:
    reply = await client.ask(presence_stats={"channel": ROOM})
    return int(reply["presence_stats"]["num_clients"])


async def test_a_thousand_members_die_with_their_host(stand: Stand, report: Report) -> None:
    """Supervisor and all: only the end of the lease tells. Nobody else is touched.

    Red without the sweep of a dead worker's members (``PresenceSweep.run``).
    """
    served = [await serve(stand) for _ in range(3)]
    dies, stays, asked = (s.port for s in served)
    async with (
        ChannelCrowd([dies], SUBSCRIBERS, lambda n: [ROOM]) as going,
        ChannelCrowd([stays], STAY, lambda n: [ROOM], join_leave=True) as staying,
        centrifuge_client(asked) as visitor,
    ):
        await visitor.subscribe(ROOM)
        gone = {client.client for client in going.clients}
        left = {client.client for client in staying.clients} | {visitor.id}
        assert await count(visitor) == len(gone | left)
        worker = stand.worker_of(served[0])
        going.open = False
        served[0].signal(signal.SIGKILL)
        worker.kill()
        died_at = going.loop.time()
        while await count(visitor) > len(left):
            assert going.loop.time() < died_at + SWEPT_S
            await asyncio.sleep(0.1)
        took_s = going.loop.time() - died_at
        await eventually(
            lambda: all(set(client.left) >= gone for client in staying.clients),
            "every leave at every survivor",
            within_s=died_at + SWEPT_S - going.loop.time(),
        )

        report(staying.ledger)
        print(f"gone after {took_s:.1f} s")
        assert {name for client in staying.clients for name in client.left} == gone
        assert not staying.ledger.closes
        assert await members(visitor) == left
        assert await count(visitor) == len(left)
