"""A hook's worker dies while it decides; hooks hang, raise, refuse: who asked is answered once."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.faults.channel_stand import LONG, serve
from tests.faults.conftest import Report
from tests.support.centrifuge_client import CentrifugeClient, centrifuge_client
from tests.support.channel_crowd import ChannelCrowd
from tests.support.channel_publisher import ChannelPublisher
from tests.support.serve import Served
from tests.support.stand import Stand
from tests.support.waiting import eventually

APP = "tests.support.apps.badhooks:gateway"
OTHERS = 100
HANDLER_S = 3
INTERNAL, DENIED = 100, 103
OUTCOMES = {
    "let": 0,
    "raise": INTERNAL,
    "refuse": DENIED,
    "hang": INTERNAL,
    "die": 0,  # another worker is asked
}
KILLS_ALL = "die-always"  # so it comes last: whoever else is being decided on dies with it


async def ask(client: CentrifugeClient, kind: str, word: str) -> dict[str, Any]:
    match kind:
        case "subscribe":
            return await client.ask(subscribe={"channel": f"hook:{word}"})
        case "unsubscribe":
            return await client.ask(unsubscribe={"channel": f"hook:leave-{word}"})
        case "publish":
            return await client.ask(publish={"channel": "hook:let", "data": {"word": word}})
        case _:
            return await client.ask(rpc={"method": word, "data": None})


async def test_hooks_do_their_worst(stand: Stand, report: Report) -> None:
    """Each that asks is answered once, in order, and its socket stays; nobody else sees anything.
    So is what a client sends to ``on_message``, which others handle in the place of who dies.

    Red without ``Dispatcher.worker_gone``: what a dead worker was asked is answered by nobody.
    """
    edge = await serve(stand, "--role", "edge", GATEWAY_HANDLER_SECONDS=str(HANDLER_S))
    for _ in range(2):
        await serve(stand, APP, "--role", "handler", GATEWAY_HANDLER_SECONDS=str(HANDLER_S))

    async def handlers_back() -> None:
        await eventually(
            lambda: edge.metric("gateway_handler_workers") == 2, "both handlers at the edge", 15
        )

    await handlers_back()
    names = list(LONG)[:2]
    async with (
        ChannelCrowd([edge.port], OTHERS, lambda n: [names[n % 2]], recoverable=True) as crowd,
        ChannelPublisher(stand.redis.url, {n: LONG[n] for n in names}, crowd.ledger) as publisher,
    ):
        publisher.start()
        for kind in ("subscribe", "publish", "rpc"):
            answered = await asyncio.gather(*(one(edge.port, kind, word) for word in OUTCOMES))
            assert dict(zip(OUTCOMES, answered, strict=True)) == OUTCOMES, kind
            assert await one(edge.port, kind, KILLS_ALL) == INTERNAL, kind
            await handlers_back()
        # Nobody is answered by on_unsubscribe, and who leaves has left whatever it does.
        left = await asyncio.gather(*(one(edge.port, "unsubscribe", word) for word in OUTCOMES))
        assert left == [0] * len(OUTCOMES)
        await handlers_back()
        await leaves_and_kills_all(edge)
        await handlers_back()
        await sends(edge.port)
        await publisher.stop()
        await crowd.caught_up()

        report(crowd.ledger)
        assert not crowd.ledger.broken
        assert not crowd.ledger.closes
        assert not crowd.ledger.ends


async def one(port: int, kind: str, word: str) -> int:
    """A client of its own asks; the code of its error. What it asks next is answered after it."""
    async with centrifuge_client(port) as client:
        if kind == "publish":
            await client.subscribe("hook:let")
        if kind == "unsubscribe":
            await client.subscribe(f"hook:leave-{word}")
        reply = await ask(client, kind, word)
        after = await ask(client, "rpc", "let")
        assert after["rpc"]["data"] == "done", (kind, word, after)
        ids = [message["id"] for message in client.seen if "id" in message]
        assert ids == sorted(set(ids))
        return int(reply.get("error", {}).get("code", 0))


async def leaves_and_kills_all(edge: Served) -> None:
    """An ``on_unsubscribe`` that kills whoever is told of it is given up, and logged."""

    def given_up() -> int:
        return sum(e.get("hook") == "on_unsubscribe" for e in edge.events("message given up"))

    async with centrifuge_client(edge.port) as client:
        await client.subscribe(f"hook:leave-{KILLS_ALL}")
        assert "error" not in await ask(client, "unsubscribe", KILLS_ALL)
        await eventually(lambda: given_up() == 1, "the end of its attempts", 15)
        after = await ask(client, "rpc", "let")
        assert after["rpc"]["data"] == "done"


async def sends(port: int) -> None:
    """What is under way with a worker that is killed is handled by another one, and answered once;
    what comes behind it waits.
    """
    async with centrifuge_client(port) as client:
        client.say(*({"send": {"data": {"word": word}}} for word in ("let", "die", "let")))
        answers = [(await client.push("message"))["message"]["data"] for _ in range(3)]
        after = await ask(client, "rpc", "let")
        assert after["rpc"]["data"] == "done"
        assert [a["word"] for a in answers] == ["let", "die", "let"]
        # The first one too, if its answer had not left.
        assert [a["attempt"] for a in answers] in ([1, 2, 1], [1, 2, 2], [2, 2, 2])
        assert len({a["id"] for a in answers}) == 3
        assert sum("message" in m.get("push", {}) for m in client.seen) == 3
