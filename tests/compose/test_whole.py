"""What plain ``docker compose up`` starts: nginx, two workers, Redis."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake

from tests.support.compose import ComposeStack, docker
from tests.support.crowd import Crowd
from tests.support.pusher import API_KEY
from tests.support.trace_client import (
    TraceClient,
    ask_all,
    holders,
    served_elsewhere,
    trace_client,
    trace_clients,
)
from tests.support.waiting import eventually, eventually_async

NOTICED_S = 15.0
FORGOTTEN_S = 4.0  # nginx asks for addresses every two seconds
LEASE_ENDED_S = 30.0  # a killed container says nothing: what it was handling waits for its lease


def get(stack: ComposeStack, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(stack.url + path, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_the_page_is_served(stack: ComposeStack) -> None:
    status, page = get(stack, "/")

    assert status == 200
    assert "<title>Gateway</title>" in page


def test_it_is_ready(stack: ComposeStack) -> None:
    assert get(stack, "/readyz") == (200, "ready\n")


@pytest.mark.parametrize("path", ["/metrics", "/@connections/x"])
def test_what_is_for_machines_is_closed(stack: ComposeStack, path: str) -> None:
    status, body = get(stack, path)

    assert status == 404
    assert "nginx" in body  # it did not get as far as a worker


def test_only_nginx_can_be_reached_from_outside(stack: ComposeStack) -> None:
    published = {
        service: docker("port", container).split()
        for service in ("nginx", "gateway", "redis")
        for container in stack.containers(service)
    }

    assert [service for service, ports in published.items() if ports] == ["nginx"]


async def test_a_hundred_connections_are_answered_also_by_workers_that_do_not_hold_them(
    stack: ComposeStack,
) -> None:
    async with trace_clients(stack.ws_url, 100) as clients:
        answers = await ask_all(clients)

        assert [a.text for a in answers] == [f"Received:from {c.connection}" for c in clients]
        assert len(served_elsewhere(clients, answers)) == 2


ASK = """
import sys, urllib.request
url, key, text = sys.argv[1:]
request = urllib.request.Request(url, text.encode(), {"X-API-Key": key})
print(urllib.request.urlopen(request, timeout=10).status)
"""


async def test_a_backend_in_the_network_reaches_sockets_of_every_worker(
    stack: ComposeStack,
) -> None:
    def push(client: TraceClient) -> str:
        url = f"http://gateway:8000/@connections/{client.connection}"
        command = ("python", "-c", ASK, url, API_KEY, f"for {client.connection}")
        return stack.compose("exec", "-T", "gateway", *command).strip()

    async with trace_clients(stack.ws_url, 8) as clients:
        assert len(holders(clients)) == 2
        for client in clients:
            assert await asyncio.to_thread(push, client) == "200"
            async with asyncio.timeout(NOTICED_S):
                assert json.loads(await client.socket.recv()) == {
                    "push": f"for {client.connection}"
                }


async def test_the_gateway_sees_the_address_of_the_client(stack: ComposeStack) -> None:
    """Seen from nginx, whoever comes through a port of this machine is the network's own end."""
    [network] = json.loads(docker("network", "inspect", f"{stack.project}_front"))
    async with trace_client(stack.ws_url) as client:
        await client.ask("be registered")
        rows = await asyncio.to_thread(stack.ask, "gateway", "connections")

    addresses = {row["connection"]: row["address"] for row in rows}
    assert addresses[client.connection] == network["IPAM"]["Config"][0]["Gateway"]


async def test_new_workers_are_noticed_without_a_restart(stack: ComposeStack) -> None:
    nginx, redis = stack.started_at("nginx"), stack.started_at("redis")
    old = set(await asyncio.to_thread(stack.hosts))
    try:
        await asyncio.to_thread(stack.up, "--scale", "gateway=4")
        new = set(await asyncio.to_thread(stack.hosts)) - old
        assert len(new) == 2

        async def held_by_new_ones() -> bool:
            async with trace_clients(stack.ws_url, 8) as clients:
                return new <= set(holders(clients))

        await eventually_async(held_by_new_ones, "sockets at both new workers", NOTICED_S)
        assert (stack.started_at("nginx"), stack.started_at("redis")) == (nginx, redis)
    finally:
        await asyncio.to_thread(stack.up)


async def test_a_killed_worker_takes_only_its_own_sockets_with_it(stack: ComposeStack) -> None:
    doomed, host = next(iter((await asyncio.to_thread(stack.hosts)).items()))
    try:
        async with Crowd([stack.ws_url], 40, per_second=5) as crowd:
            crowd.start_sending()
            await crowd.send_for(1.0)
            lost = crowd.workers()[doomed]
            await asyncio.to_thread(docker, "kill", host)
            await eventually(lambda: crowd.workers()[doomed] == 0, "the end of its sockets")
            await crowd.everybody()
            await crowd.send_for(1.0)
            ledger = await crowd.stop_sending(LEASE_ENDED_S)
            print(ledger.table("a replica killed"))

            assert not ledger.broken
            assert ledger.closes.total() == ledger.reconnects == lost > 0
            assert ledger.answered + ledger.in_doubt == ledger.sent
    finally:
        await asyncio.to_thread(stack.up)


async def test_a_new_image_is_rolled_out_in_two_steps_without_a_refusal(
    stack: ComposeStack, next_image: str
) -> None:
    """The two commands that docker-compose.yml names, under load."""
    try:
        async with Crowd([stack.ws_url], 40, per_second=5) as crowd:
            crowd.start_sending()
            beside = ("--no-recreate", "--scale", "gateway=4")
            await asyncio.to_thread(stack.up, *beside, IMAGE=next_image)
            await asyncio.to_thread(stack.up, IMAGE=next_image)
            await crowd.everybody()
            await crowd.send_for(1.0)
            ledger = await crowd.stop_sending()
            print(ledger.table("a new image, in two steps"))

            assert images(stack) == {next_image}
            assert not ledger.broken
            assert ledger.refused == 0
            assert ledger.closes == Counter({3001: 40})
    finally:
        await asyncio.to_thread(stack.up)


async def test_a_new_image_in_one_step_leaves_no_message_without_answer_or_close(
    stack: ComposeStack, next_image: str
) -> None:
    """Plain ``up``: both workers go at the same time, and for a while nobody takes new sockets."""
    try:
        async with Crowd([stack.ws_url], 40, per_second=5) as crowd:
            crowd.start_sending()
            await asyncio.to_thread(stack.up, IMAGE=next_image)
            await crowd.everybody()
            await crowd.send_for(1.0)
            ledger = await crowd.stop_sending()
            print(ledger.table("a new image, in one step"))

            assert images(stack) == {next_image}
            assert not ledger.broken
            # Whoever comes back before the other one drains is closed by that one too.
            assert ledger.closes.keys() == {3001}
            assert ledger.closes[3001] >= 40
    finally:
        await asyncio.to_thread(stack.up)


def images(stack: ComposeStack) -> set[str]:
    """Those that the workers run."""
    form = "{{.Config.Image}}"
    return {docker("inspect", "--format", form, c).strip() for c in stack.containers("gateway")}


@asynccontextmanager
async def knocking(url: str) -> AsyncIterator[Counter[str]]:
    """Handshakes all the time, ten at once: what became of each."""
    answers: Counter[str] = Counter()
    over = asyncio.Event()

    async def knock() -> None:
        while not over.is_set():
            try:
                async with asyncio.timeout(NOTICED_S), connect(url, proxy=None):
                    answers["open"] += 1
            except (OSError, TimeoutError, InvalidHandshake) as error:
                answers[str(error)] += 1
            await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(10):
            tasks.create_task(knock())
        yield answers
        over.set()


async def test_scaling_down_refuses_nobody_while_a_worker_stands_by(image: str) -> None:
    """nginx gives up requests that wait for a dead worker while its list changes: 10 of 1,834."""
    with ComposeStack(image) as stack:
        await asyncio.to_thread(stack.up, "--scale", "gateway=6")
        async with knocking(stack.ws_url) as answers:
            await asyncio.to_thread(stack.up, "--scale", "gateway=2")
            await asyncio.sleep(FORGOTTEN_S)

        assert answers.keys() == {"open"}
        assert answers["open"] > 100


async def test_the_death_of_one_of_two_workers_refuses_nobody(stack: ComposeStack) -> None:
    """nginx gives up requests that wait for the dead one while its list becomes a list of one."""
    doomed = stack.containers("gateway")[0]
    try:
        async with knocking(stack.ws_url) as answers:
            await asyncio.to_thread(docker, "kill", doomed)
            await asyncio.sleep(FORGOTTEN_S)

        assert answers.keys() == {"open"}
        assert answers["open"] > 100
    finally:
        await asyncio.to_thread(stack.up)


async def test_down_drains_and_leaves_nothing(image: str) -> None:
    """nginx went first: every socket ended with 1006."""
    with ComposeStack(image) as stack:
        await asyncio.to_thread(stack.up)
        async with trace_clients(stack.ws_url, 20) as clients:
            await asyncio.to_thread(stack.compose, "down", "--volumes")
            await asyncio.gather(*(client.socket.wait_closed() for client in clients))

            assert {client.socket.close_code for client in clients} == {3001}
        assert not stack.leftovers()
