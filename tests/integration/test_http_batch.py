"""Many things in one request of the connection API: each has its own result, at its bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import MappingProxyType
from typing import Any

import httpx
import pytest

from gateway import Connection, Gateway
from gateway.errors import BrokerUnavailable
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.integration.test_channels import ROOM, last_connection
from tests.integration.test_http_api import KEY, SHOWN, error
from tests.support.ids import new_connection_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.rawclient import raw_websocket

NAMESPACES = Namespaces(ChannelOptions(), MappingProxyType({"room": ROOM}))
Json = dict[str, Any]


def own(make: MakeSettings, **changes: Any) -> Settings:
    changes = {"api_body_bytes": 1 << 20, **changes}
    return make(api_keys=Secret(KEY), channel=NAMESPACES, **changes)


@pytest.fixture(params=["memory", "redis"])
async def served(settings: MakeSettings, request: Any) -> AsyncIterator[InProcess]:
    changes = {"redis_url": Secret("")} if request.param == "memory" else {}
    async with in_process(own(settings, **changes)) as running:
        yield running


@pytest.fixture
async def alone(settings: MakeSettings) -> AsyncIterator[InProcess]:
    async with in_process(own(settings, redis_url=Secret(""))) as running:
        yield running


async def post(served: InProcess, path: str, body: object, **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=served.url, headers=SHOWN, timeout=10) as http:
        return await http.post(path, json=body, headers=headers)


async def batch(served: InProcess, *commands: object) -> list[Json]:
    """The results, with the first words of their messages."""
    answer = await post(served, "/@batch", {"commands": commands})
    results: list[Json] = answer.json()["results"]
    return results


def gist(results: list[Json]) -> list[tuple[int, str]]:
    return [(each["status"], each.get("error", "")) for each in results]


# Broadcast


async def test_everybody_in_each_channel_is_told_and_the_others_have_errors(
    served: InProcess,
) -> None:
    async with raw_websocket(served.port) as ann:
        for channel in ("room:a b", "hall"):
            await served.gateway.subscribe(last_connection(served), channel)
        said = {
            "channels": ["room:a b", "none:1", "hall", ""],
            "data": {"n": 1},
            "tags": {"a": "b"},
        }
        answer = await post(served, "/@broadcast", said)
        assert await ann.texts(2) == ['{"n":1}', '{"n":1}']

    room, none, hall, empty = answer.json()["results"]
    assert answer.status_code == 200
    assert room | {"status": 200, "offset": 1, "suppressed": False} == room
    assert hall == {"status": 200, "offset": 0, "epoch": "", "suppressed": False}
    assert none == {
        "status": 404,
        "error": "NotFoundException",
        "message": "there is no namespace 'none'",
    }
    assert (empty["status"], empty["message"]) == (400, "a channel's name is 1 to 255 bytes, not 0")
    kept = (await served.gateway.history("room:a b")).publications
    assert [(each.data, each.tags) for each in kept] == [({"n": 1}, {"a": "b"})]


@pytest.mark.parametrize("way", ["header", "member"])
async def test_a_broadcast_with_a_key_may_be_repeated(served: InProcess, way: str) -> None:
    said: Json = {"channels": ["room:1", "hall"], "data": 1}
    headers = {"Idempotency-Key": "k"} if way == "header" else {}
    said |= {"idempotency_key": "k"} if way == "member" else {}
    first = (await post(served, "/@broadcast", said, **headers)).json()["results"]
    again = (await post(served, "/@broadcast", said, **headers)).json()["results"]

    assert again == [each | {"suppressed": True} for each in first]


async def test_a_version_that_is_over_is_suppressed_and_history_may_be_skipped(
    served: InProcess,
) -> None:
    said: Json = {"channels": ["room:1", "hall"], "data": 1, "version": 7}
    [room, hall] = (await post(served, "/@broadcast", said)).json()["results"]
    assert (room["offset"], room["suppressed"]) == (1, False)
    assert (hall["status"], hall["message"]) == (400, "a version needs history")
    [again, _] = (await post(served, "/@broadcast", said)).json()["results"]
    assert again["suppressed"]

    [passing] = await batch(served, {"publish": {"channel": "room:1", "data": 1, "history": False}})
    assert (passing["offset"], passing["suppressed"]) == (0, False)


# Batch


def in_order() -> list[tuple[object, int, str]]:
    """Commands with their statuses and errors."""
    gone = new_connection_id()
    return [
        ({"publish": {"channel": "room:1", "data": "one"}}, 200, ""),
        ({"publish": {"channel": "room:1", "data": "two", "tag": {}}}, 400, "BadRequestException"),
        ({"publish": {"channel": "room:1"}}, 400, "BadRequestException"),
        ({"publish": {"channel": "none:1", "data": 1}}, 404, "NotFoundException"),
        ({"publish": {"channel": "", "data": 1}}, 400, "BadRequestException"),
        ({"publish": {"channel": "room:1", "data": "x" * 70_000}}, 413, "PayloadTooLargeException"),
        ({"broadcast": {"channels": ["none:1", "hall"], "data": 1}}, 200, ""),
        ({"broadcast": {"channels": ["none:1", "none:2"], "data": 1}}, 404, "NotFoundException"),
        ({"broadcast": {"channels": [], "data": 1}}, 400, "BadRequestException"),
        ({"send": {"connection": "nobody", "text": "x"}}, 410, "GoneException"),
        ({"send": {"connection": "nobody", "text": 1}}, 400, "BadRequestException"),
        ({"send_to_user": {"user": "nobody", "text": "x"}}, 200, ""),
        ({"send_to_user": {"user": "", "text": "x"}}, 400, "BadRequestException"),
        ({"disconnect": {"connection": gone.replace(".", ""), "code": 4000}}, 410, "GoneException"),
        ({"disconnect": {"connection": gone, "code": 2999}}, 400, "BadRequestException"),
        ({"disconnect_user": {"user": "nobody"}}, 200, ""),
        ({"subscribe": {"connection": "nobody", "channel": "hall"}}, 410, "GoneException"),
        ({"subscribe": {"connection": gone, "channel": ""}}, 400, "BadRequestException"),
        ({"unsubscribe": {"connection": "nobody", "channel": "hall"}}, 410, "GoneException"),
        ({"presence": {"channel": "hall"}}, 400, "BadRequestException"),
        ({"publish": {}, "send": {}}, 400, "BadRequestException"),
        ({}, 400, "BadRequestException"),
        (7, 400, "BadRequestException"),
        ({"publish": {"channel": "room:1", "data": "three"}}, 200, ""),
    ]


async def test_each_command_has_its_own_result_in_order(served: InProcess) -> None:
    expected = in_order()
    results = await batch(served, *(command for command, *_ in expected))

    assert gist(results) == [(status, kind) for _, status, kind in expected]
    assert [results[0]["offset"], results[-1]["offset"]] == [1, 2]
    assert all(each["message"] for each in results if each["status"] >= 400)
    assert [each["status"] for each in results[6]["results"]] == [404, 200]
    assert results[9]["receipt"] == "gone"
    assert results[11] == {"status": 200, "written": 0, "gone": 0, "slow": 0, "unreachable": 0}
    kept = (await served.gateway.history("room:1")).publications
    assert [each.data for each in kept] == ["one", "three"]


async def test_connections_of_every_worker_get_theirs_in_order(settings: MakeSettings) -> None:
    async with (
        cluster(own(settings), 2, [of_ali(), of_ali()]) as workers,
        raw_websocket(workers[0].port) as ann,
        raw_websocket(workers[1].port) as bob,
    ):
        here, there = (last_connection(worker) for worker in workers)
        first = await batch(
            workers[0],
            {"send": {"connection": there, "text": "1"}},
            {"subscribe": {"connection": there, "channel": "hall"}},
            {"send": {"connection": there, "text": "2", "idempotency_key": "k"}},
            {"send": {"connection": there, "text": "2", "idempotency_key": "k"}},
            {"send": {"connection": here, "text": "1"}},
            {"send_to_user": {"user": "ali", "text": "3"}},
        )
        assert await bob.texts(3) == ["1", "2", "3"]
        assert await ann.texts(2) == ["1", "3"]
        assert [each.get("receipt") for each in first] == ["written"] * 5 + [None]
        assert first[5]["written"] == 2

        second = await batch(
            workers[0],
            {"publish": {"channel": "hall", "data": "4"}},
            {"disconnect": {"connection": here, "code": 4001, "reason": "bye"}},
        )
        assert await bob.texts(1) == ["4"]
        assert second[1] == {"status": 204}
        assert (await ann.rest())[-1].closing == (4001, "bye")
        third = await batch(
            workers[0],
            {"unsubscribe": {"connection": there, "channel": "hall"}},
            {"disconnect_user": {"user": "ali"}},
        )
        assert third[0] == {"status": 204}
        assert third[1]["written"] == 1
        assert (await bob.rest())[-1].closing[0] == 3503


def of_ali() -> Gateway:
    app = Gateway()

    @app.on_connect
    async def welcome(connection: Connection) -> str:
        return "ali"

    return app


async def test_commands_are_counted_one_by_one(alone: InProcess) -> None:
    counted = Counted(alone)
    await batch(
        alone,
        {"publish": {"channel": "hall", "data": 1}},
        {"broadcast": {"channels": ["hall", "room:1", "none:1"], "data": 1}},
        {"send": {"connection": "nobody", "text": "x"}},
    )

    assert counted("gateway_publications_total") == 3
    assert counted("gateway_sends_total", receipt="gone") == 1
    for command, status, times in (
        ("publish", "200", 1), ("broadcast", "200", 2), ("broadcast", "404", 1), ("send", "410", 1),
    ):  # fmt: skip
        named = {"command": command, "status": status}
        assert counted("gateway_api_results_total", **named) == times, named
    assert counted("gateway_api_requests_total", method="POST", status="200") == 1


async def test_half_an_emoji_is_read_as_what_a_publication_of_its_own_is(alone: InProcess) -> None:
    body = '{"commands":[{"publish":{"channel":"room:1","data":"\\ud83d"}}]}'
    async with httpx.AsyncClient(base_url=alone.url, headers=SHOWN) as http:
        answer = await http.post("/@batch", content=body)

    assert answer.status_code == 200
    assert [p.data for p in (await alone.gateway.history("room:1")).publications] == ["\ufffd"]


# What all have failed of


@pytest.mark.parametrize(
    ("path", "body", "status", "kind"),
    [
        ("/@batch", {"commands": [{}, 7, {"send": {}}]}, 400, "BadRequestException"),
        ("/@broadcast", {"channels": ["", "é"], "data": 1}, 400, "BadRequestException"),
        ("/@broadcast", {"channels": ["none:1"], "data": 1}, 404, "NotFoundException"),
    ],
)
async def test_where_all_fail_alike_the_answer_has_their_status(
    alone: InProcess, path: str, body: Json, status: int, kind: str
) -> None:
    answer = await post(alone, path, body)

    assert error(answer) == (status, kind)
    results = answer.json()["results"]
    assert gist(results) == [(status, kind)] * len(next(iter(body.values())))
    assert answer.json()["message"].startswith(f"all {len(results)} have failed; the first: ")


async def test_a_broker_that_is_away_is_said_of_each(
    alone: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alone.worker.parts.publisher, "_broker", Away())
    said = {"channels": ["hall", "room:1"], "data": 1}
    answer = await post(alone, "/@broadcast", said)
    [alike, other] = await batch(alone, {"broadcast": said}, {"send": {}})

    assert error(answer) == (503, "ServiceUnavailableException")
    assert answer.headers["retry-after"] == "1"
    assert alike["results"] == answer.json()["results"]
    assert gist([alike, other]) == [
        (503, "ServiceUnavailableException"),
        (400, "BadRequestException"),
    ]


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_fault_of_ours_takes_no_other_command(
    alone: InProcess, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    """Red when it is raised on: the whole batch was answered with 500, done or not."""
    monkeypatch.setattr(alone.worker.parts.publisher, "_broker", Faulty(at_once))
    said, counted = {"channel": "hall", "data": 1}, Counted(alone)

    results = await batch(alone, {"publish": said}, {"publish": {"channel": "no such:", "data": 1}})

    assert results[0]["status"] == 500
    assert results[0]["error"] == "InternalServerErrorException"
    assert results[1]["status"] == 404
    for status in ("500", "404"):
        assert counted("gateway_api_results_total", command="publish", status=status) == 1


class Faulty:
    def __init__(self, at_once: bool) -> None:
        self._at_once = at_once

    def publish(self, publishing: object) -> Any:
        if self._at_once:
            raise RuntimeError("broken")
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(RuntimeError("broken"))
        return answer


class Away:
    def publish(self, publishing: object) -> Any:
        answer = asyncio.get_running_loop().create_future()
        answer.set_exception(BrokerUnavailable("gone"))
        return answer
