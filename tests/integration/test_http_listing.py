"""What the connection API knows of users, connections and workers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from gateway import Connection, Gateway, Message
from gateway.settings.config import Settings
from tests.integration.conftest import MakeSettings
from tests.integration.test_http_api import SHOWN, error, open_to_backends
from tests.integration.test_slow_readers import stop_reading
from tests.support.ids import new_worker_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.proxy import Proxy
from tests.support.rawclient import RawClient, raw_websocket
from tests.support.waiting import eventually_async

NONE = {"written": 0, "gone": 0, "slow": 0, "unreachable": 0}


def named_by_query() -> Gateway:
    """A user is who the query says; ``n`` is answered with n letters."""
    app = Gateway()

    @app.on_connect
    async def welcome(connection: Connection) -> str:
        return connection.query

    @app.on_message
    async def talk(message: Message) -> str:
        return "x" * int(message.text)

    return app


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(headers=SHOWN, timeout=10) as client:
        yield client


@asynccontextmanager
async def two_workers(settings: Settings) -> AsyncIterator[list[InProcess]]:
    async with cluster(settings, 2, [named_by_query(), named_by_query()]) as workers:
        yield workers


@asynccontextmanager
async def sockets(*places: tuple[InProcess, str]) -> AsyncIterator[list[RawClient]]:
    """Open one at each of these workers, of this user, and wait until all are listed."""
    async with AsyncExitStack() as stack:
        opened = []
        for served, user in places:
            client = raw_websocket(served.port, f"/communicate?{user}")
            opened.append(await stack.enter_async_context(client))
        await eventually_async(lambda: listed(places), "their entries")
        yield opened


async def listed(places: tuple[tuple[InProcess, str], ...]) -> bool:
    """Whether the registry knows as many of each user as there are."""
    users = [user for _, user in places]
    registry = places[0][0].worker.parts.registry
    found = [len(await registry.of_user(user)) for user in users]
    return found == [users.count(user) for user in users]


def connections(served: InProcess) -> list[str]:
    return sorted(member.id for member in served.worker.parts.hub)


# Users


async def test_what_is_posted_to_a_user_reaches_all_of_their_sockets_and_no_others(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with two_workers(open_to_backends(settings)) as (one, two):
        places = ((one, "ali"), (two, "ali"), (two, "bo"))
        async with sockets(*places) as (phone, laptop, other):
            answer = await http.post(one.url + "/@users/ali", content="hello")

            assert (answer.status_code, answer.json()) == (200, NONE | {"written": 2})
            assert await phone.texts(1) + await laptop.texts(1) == ["hello", "hello"]
            await http.post(one.url + "/@users/bo", content="for bo")
            assert await other.texts(1) == ["for bo"]


async def test_receipts_of_a_user_are_counted_by_kind(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    own = open_to_backends(settings, outbox_bytes=100_000)
    async with two_workers(own) as (one, two), sockets((one, "ali"), (two, "ali")) as (slow, _):
        await stop_reading(one, slow)

        answer = await http.post(two.url + "/@users/ali", content=b"x" * 100_000)

    assert answer.json() == NONE | {"written": 1, "slow": 1}


async def test_nobody_is_written_to_nobody(settings: MakeSettings, http: httpx.AsyncClient) -> None:
    async with in_process(open_to_backends(settings)) as served:
        answer = await http.post(served.url + "/@users/nobody", content="hello")

    assert (answer.status_code, answer.json()) == (200, NONE)


async def test_one_key_of_a_user_is_one_for_each_socket(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with (
        two_workers(open_to_backends(settings)) as (one, two),
        sockets((one, "ali"), (two, "ali")) as clients,
    ):
        for asked in (one, two):
            url, key = asked.url + "/@users/ali", {"idempotency-key": "k"}
            answer = await http.post(url, content="once", headers=key)
            assert answer.json() == NONE | {"written": 2}
        await http.post(one.url + "/@users/ali", content="last")

        assert [await client.texts(2) for client in clients] == [["once", "last"]] * 2


@pytest.mark.parametrize("user", ["a/b", "Zoë", "a b", "100%", "?", "x\ny"])
async def test_a_user_may_be_called_anything(
    settings: MakeSettings, http: httpx.AsyncClient, user: str
) -> None:
    app = Gateway()

    @app.on_connect
    async def welcome(connection: Connection) -> str:
        return user

    async with in_process(open_to_backends(settings), app) as served, raw_websocket(served.port):
        await eventually_async(lambda: listed(((served, user),)), "the entry")
        url = f"{served.url}/@users/{quote(user, safe='')}"

        assert (await http.post(url, content="x")).json() == NONE | {"written": 1}
        [found] = (await http.get(url)).json()["connections"]
        assert found["user"] == user


async def test_a_user_is_disconnected_everywhere_and_nobody_else_is(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with two_workers(open_to_backends(settings)) as (one, two):
        places = ((one, "ali"), (two, "ali"), (two, "bo"))
        async with sockets(*places) as (phone, laptop, other):
            url = one.url + "/@users/ali"
            answer = await http.delete(url, params={"code": 4000, "reason": "moved"})

            assert (answer.status_code, answer.json()) == (200, NONE | {"written": 2})
            for client in (phone, laptop):
                assert (await client.rest())[-1].closing == (4000, "moved")
            other.say("1")
            assert await other.texts(1) == ["x"]
            assert (await http.delete(one.url + "/@users/nobody")).json() == NONE


async def test_a_close_of_a_user_that_cannot_be_sent_is_refused(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings)) as served:
        answer = await http.delete(served.url + "/@users/ali", params={"code": 1006})

    assert error(answer) == (400, "BadRequestException")
    assert "1006" in answer.json()["message"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
async def test_a_user_without_a_name_is_refused(
    settings: MakeSettings, http: httpx.AsyncClient, method: str
) -> None:
    async with in_process(open_to_backends(settings)) as served:
        answer = await http.request(method, served.url + "/@users/")

    assert error(answer) == (400, "BadRequestException")


async def test_the_connections_of_a_user_are_listed(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with (
        two_workers(open_to_backends(settings)) as (one, two),
        sockets((one, "ali"), (two, "ali"), (two, "bo")),
    ):
        rows = (await http.get(two.url + "/@users/ali")).json()["connections"]

        assert {row["worker"] for row in rows} == {one.worker.me, two.worker.me}
        [of_one] = [row for row in rows if row["worker"] == one.worker.me]
        assert of_one.pop("connectedAt").endswith("Z")
        assert of_one == {
            "id": connections(one)[0],
            "worker": one.worker.me,
            "user": "ali",
            "protocol": "text",
            "identity": {"sourceIp": "127.0.0.1", "userAgent": ""},
        }


# Connections


async def all_pages(http: httpx.AsyncClient, url: str, **query: Any) -> list[list[str]]:
    """The ids of every page."""
    pages, cursor = [], ""
    while True:
        body = (await http.get(url, params={**query, "cursor": cursor})).json()
        pages.append([row["id"] for row in body["connections"]])
        if "cursor" not in body:
            return pages
        cursor = body["cursor"]


async def test_connections_are_listed_page_by_page(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with (
        two_workers(open_to_backends(settings)) as (one, two),
        sockets(*[(served, "ali") for served in (one, two)] * 3),
    ):
        for query in ({}, {"limit": 2}, {"limit": 2, "user": "ali"}, {"limit": 6}):
            pages = await all_pages(http, one.url + "/@connections", **query)

            ids = [name for page in pages for name in page]
            assert sorted(ids) == sorted(connections(one) + connections(two)), query


async def test_pages_of_a_user_are_as_long_as_was_asked(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with (
        two_workers(open_to_backends(settings)) as (one, two),
        sockets((one, "ali"), (one, "bo"), (two, "ali"), (two, "ali")),
    ):
        pages = await all_pages(http, two.url + "/@connections", limit=2, user="ali")

    assert [len(page) for page in pages] == [2, 1]


@pytest.mark.parametrize("query", [{}, {"user": "ali"}])
async def test_only_those_of_one_worker_are_listed(
    settings: MakeSettings, http: httpx.AsyncClient, query: dict[str, str]
) -> None:
    async with (
        two_workers(open_to_backends(settings)) as (one, two),
        sockets((one, "ali"), (two, "ali"), (two, "ali")),
    ):
        url = one.url + "/@connections"

        [page] = await all_pages(http, url, worker=two.worker.me, **query)
        assert sorted(page) == connections(two)
        assert await all_pages(http, url, worker=new_worker_id(), **query) == [[]]


async def test_a_parameter_that_is_none_is_refused(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    queries = [
        *("limit=0", "limit=1001", "limit=x", "limit=", "limit=1e2", "limit=-1", "limit=1&limit=2"),
        *("worker=x", "user=", "cursor=%2A", "cursor=x", "wroker=x"),
    ]
    async with in_process(open_to_backends(settings)) as served:
        for query in queries:
            answer = await http.get(f"{served.url}/@connections?{query}")

            assert error(answer) == (400, "BadRequestException"), query


async def test_both_ends_of_the_limit_are_taken(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings)) as served:
        for limit in (1, 1000):
            answer = await http.get(f"{served.url}/@connections?limit={limit}")

            assert (answer.status_code, answer.json()) == (200, {"connections": []})


async def test_connections_of_an_address_are_filtered_out_of_each_page(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with (
        in_process(open_to_backends(settings), named_by_query()) as served,
        sockets((served, "ali"), (served, "bo")),
    ):
        url = served.url + "/@connections"
        here = (await http.get(url, params={"address": "127.0.0.1"})).json()["connections"]
        of_user = await http.get(url, params={"address": "127.0.0.1", "user": "bo"})
        elsewhere = await http.get(url, params={"address": "192.0.2.1", "user": "bo"})
        nowhere = await http.get(url, params={"address": "192.0.2.1"})

    assert sorted(row["user"] for row in here) == ["ali", "bo"]
    assert [row["user"] for row in of_user.json()["connections"]] == ["bo"]
    assert (elsewhere.json(), nowhere.json()) == ({"connections": []}, {"connections": []})


# Workers


async def test_the_fenced_are_listed_for_those_who_ask(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    async with in_process(open_to_backends(settings)) as served:
        url, registry = served.url + "/@workers", served.worker.parts.registry
        dead = new_worker_id()
        await registry.renew(dead, served.worker.parts.info(), 60)
        await registry.fence(dead)
        rows = (await http.get(url, params={"fenced": "true"})).json()["workers"]
        unclear = await http.get(url, params={"fenced": "yes"})

    assert (dead, "fenced") in [(row["id"], row["state"]) for row in rows]
    assert error(unclear) == (400, "BadRequestException")


async def test_workers_are_listed(settings: MakeSettings, http: httpx.AsyncClient) -> None:
    own = open_to_backends(settings)
    async with in_process(own) as one, in_process(replace(own, role="edge")) as two:
        rows = (await http.get(two.url + "/@workers")).json()["workers"]

        assert [row["id"] for row in rows] == sorted((one.worker.me, two.worker.me))
        assert {row["id"]: row["role"] for row in rows} == {
            one.worker.me: "both",
            two.worker.me: "edge",
        }
        assert {row["state"] for row in rows} == {"live"}
        assert all(row["pid"] == os.getpid() and row["host"] for row in rows)
        assert all(0 < row["leaseSeconds"] <= own.lease_seconds for row in rows)


# Without Redis


async def test_what_only_redis_knows_is_unavailable_without_it(
    settings: MakeSettings, http: httpx.AsyncClient
) -> None:
    base = open_to_backends(settings)
    lists = ["/@connections", "/@connections?user=ali", "/@workers", "/@users/ali"]
    async with Proxy(int(base.redis_url.reveal().rsplit(":", 1)[1].split("/")[0])) as proxy:
        own = replace(base, redis_url=type(base.redis_url)(proxy.url))
        async with in_process(own) as served:
            proxy.freeze()
            answers = await asyncio.gather(
                *(http.get(served.url + path) for path in lists),
                http.post(served.url + "/@users/ali"),
            )
            proxy.thaw()

    for answer in answers:
        assert error(answer) == (503, "ServiceUnavailableException")
        assert answer.headers["retry-after"] == "1"
        assert "receipt" not in answer.json()
