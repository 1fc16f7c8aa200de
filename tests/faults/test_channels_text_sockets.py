"""Text sockets in channels: at most once, in order; a gap is counted, and nothing outlives them."""

from __future__ import annotations

import asyncio

from tests.faults.channel_stand import LONG, serve
from tests.faults.conftest import Report
from tests.faults.test_channels_redis_fails import kill_subscriptions
from tests.support.channel_ledger import ChannelLedger
from tests.support.channel_publisher import ChannelPublisher
from tests.support.stand import Stand
from tests.support.text_crowd import TextSocket
from tests.support.waiting import eventually

APP = "tests.support.apps.badhooks:gateway"
SOCKETS = 100
BY_CONNECT, BY_HANDLER = "long:0", "long:1"
CHANNELS = {name: LONG[name] for name in (BY_CONNECT, BY_HANDLER)}


async def test_text_sockets_lose_their_worker(stand: Stand, report: Report) -> None:
    """The gap of a worker is counted. What ``on_connect`` subscribes is there again after a
    reconnect; what a handler had subscribed is not, until it does so again.

    Red when ``Channels.closed`` forgets nobody.
    """
    served = [await serve(stand, APP) for _ in range(2)]
    ledger = ChannelLedger()
    sockets = [TextSocket("text") for _ in range(SOCKETS)]
    async with ChannelPublisher(stand.redis.url, CHANNELS, ledger) as publisher:
        await asyncio.gather(*(socket.connect(served[0].port) for socket in sockets))
        for socket in sockets:
            socket.say(BY_HANDLER)
        await eventually(lambda: all(s.texts == ["written"] for s in sockets), "subscriptions")
        publisher.start()
        await eventually(lambda: all(s.got[BY_HANDLER] > 20 for s in sockets), "publications")
        assert not any(socket.missed for socket in sockets)

        async with asyncio.timeout(20):
            while not served[0].metric("gateway_channel_gaps_total"):
                kill_subscriptions(stand.redis)
                await asyncio.sleep(0.5)  # a quick one may come back without a gap
        assert all(socket.transport for socket in sockets)

        stand.worker_of(served[0]).kill()
        await eventually(lambda: not any(s.transport for s in sockets), "their end")
        by_handler = [socket.got[BY_HANDLER] for socket in sockets]
        await asyncio.gather(*(socket.connect(served[1].port) for socket in sockets))
        by_connect = [socket.got[BY_CONNECT] for socket in sockets]
        await eventually(
            lambda: all(
                s.got[BY_CONNECT] > n + 20 for s, n in zip(sockets, by_connect, strict=True)
            ),
            "publications of the channel of on_connect",
        )
        assert [socket.got[BY_HANDLER] for socket in sockets] == by_handler
        sockets[0].say(BY_HANDLER)
        await eventually(lambda: sockets[0].got[BY_HANDLER] > by_handler[0] + 5, "it again")
        await publisher.stop()

        report(ledger)
        assert not any(socket.disordered for socket in sockets)
        assert [socket.got[BY_HANDLER] for socket in sockets[1:]] == by_handler[1:]
        for socket in sockets:
            assert socket.transport is not None
            socket.transport.disconnect(graceful=False)
        await eventually(
            lambda: served[1].metric("gateway_subscriptions") == 0, "no subscription of the closed"
        )
