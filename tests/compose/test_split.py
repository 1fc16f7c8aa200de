"""The profile ``split``: edges hold sockets, handlers run the application."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.support.compose import ComposeStack
from tests.support.trace_client import ask_all, trace_clients


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
