"""The profile ``split``: edges hold sockets, handlers run the application."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.support.centrifuge_client import CentrifugeClient, centrifuge_client
from tests.support.compose import ComposeStack
from tests.support.trace_client import ask_all, trace_clients
from tests.support.waiting import eventually_async

TRIES = 8  # nginx takes turns
TOLD_S = 10.0  # edges learn from the registry what a new application has hooks for


def test_edges_and_handlers_run_and_nothing_that_is_both(split: ComposeStack) -> None:
    roles = Counter(row["role"] for row in split.ask("edge", "workers"))

    assert roles == {"edge": 2, "handler": 2}


async def test_a_new_application_is_deployed_without_closing_a_socket(
    split: ComposeStack, application_image: str
) -> None:
    edges = split.started_at("edge")
    async with trace_clients(split.ws_url, 20) as clients:
        before = await ask_all(clients)
        redeployed = asyncio.create_task(
            asyncio.to_thread(split.up, "--no-deps", "handler", HANDLER_IMAGE=application_image)
        )
        during = []
        while not redeployed.done():
            during += await ask_all(clients)
            await asyncio.sleep(0.05)  # a load, not a flood
        await redeployed
        after = await ask_all(clients)

        assert all(client.socket.close_code is None for client in clients)
    assert split.started_at("edge") == edges
    assert {answer.text.partition(":")[0] for answer in before} == {"Received"}
    assert {answer.text.partition(":")[0] for answer in after} == {"Second"}
    assert len(during) >= 20
    assert not {a.handled_by for a in before} & {a.handled_by for a in after}


async def test_hooks_of_handlers_decide_on_channels_of_edges(
    split: ComposeStack, application_image: str
) -> None:
    """Ann and Bob have tokens, and are at two edges. The guest has none."""
    redeploy = ("--no-deps", "handler")
    await asyncio.to_thread(split.up, *redeploy, HANDLER_IMAGE=application_image)
    room = "room:members"
    async with at_two_edges(split) as (ann, bob), centrifuge_client(split.port) as guest:

        async def known() -> bool:
            answers = [await member.ask(rpc={"method": "whoami"}) for member in (ann, bob)]
            return [a.get("rpc", {}).get("data") for a in answers] == ["ann", "bob"]

        await eventually_async(known, "the hooks at both edges", TOLD_S)
        refused = await guest.ask(subscribe={"channel": room})
        assert refused["error"] == {"code": 401, "message": "log in first"}
        for member in (ann, bob):
            await member.subscribe(room)
        assert (await ann.ask(publish={"channel": room, "data": "hello"})).get("publish") == {}
        announced = await bob.ask(rpc={"method": "announce", "data": "Supper!"})

        assert announced["rpc"]["data"] == 2
        for member in (ann, bob):
            heard = [await member.publication() for _ in range(2)]
            assert [(p["offset"], p["data"]) for p in heard] == [
                (1, "ann says hello"),
                (2, "Supper!"),
            ]
        members = (await bob.ask(presence={"channel": room}))["presence"]["presence"]
        assert {m["client"]: m["user"] for m in members.values()} == {ann.id: "ann", bob.id: "bob"}


@asynccontextmanager
async def at_two_edges(
    stack: ComposeStack,
) -> AsyncIterator[tuple[CentrifugeClient, CentrifugeClient]]:
    """Ann and Bob, each with a token of the command that docker-compose.yml names."""

    async def enter(name: str) -> CentrifugeClient:
        made = await asyncio.to_thread(
            stack.compose, "exec", "-T", "edge", "gateway", "token", "--user", name
        )
        return await opened.enter_async_context(centrifuge_client(stack.port, token=made.strip()))

    async with AsyncExitStack() as opened:
        ann = await enter("ann")
        for _ in range(TRIES):
            bob = await enter("bob")
            if bob.id.partition(".")[0] != ann.id.partition(".")[0]:
                yield ann, bob
                return
        raise AssertionError("everybody is at one edge")


async def test_down_without_the_profile_drains_and_leaves_nothing(image: str) -> None:
    """Plain ``docker compose down``, whatever was started."""
    with ComposeStack(image, profile="split") as stack:
        await asyncio.to_thread(stack.up)
        plain = ComposeStack(image, project=stack.project)
        async with trace_clients(stack.ws_url, 20) as clients:
            await asyncio.to_thread(plain.compose, "down", "--volumes")
            await asyncio.gather(*(client.socket.wait_closed() for client in clients))

            assert {client.socket.close_code for client in clients} == {3001}
        assert not stack.leftovers()
