"""Many things in one request of the connection API: how many, and what is wrong with a request."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from gateway.channels.publisher import MAX_TOGETHER_BYTES
from gateway.http_api.commands import MAX_ITEMS
from gateway.protocol.rate import Rate
from gateway.registry.memory import MemoryRegistry
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.counting import Counted
from tests.integration.test_http_api import SHOWN, error
from tests.integration.test_http_batch import Json, alone, batch, own, post, served
from tests.support.inprocess import InProcess, in_process
from tests.support.waiting import eventually

__all__ = ["alone", "served"]  # fixtures


def many(count: int, path: str) -> Json:
    if path == "/@broadcast":
        return {"channels": ["hall"] * count, "data": 1}
    three = {"broadcast": {"channels": ["hall"] * 3, "data": 1}}
    return {"commands": [three, *[{"publish": {"channel": "hall", "data": 1}}] * (count - 3)]}


@pytest.mark.parametrize("path", ["/@broadcast", "/@batch"])
async def test_so_many_may_be_asked_for_at_once(alone: InProcess, path: str) -> None:
    assert (await post(alone, path, many(MAX_ITEMS, path))).status_code == 200
    counted = Counted(alone)
    assert error(await post(alone, path, many(MAX_ITEMS + 1, path))) == (
        413,
        "PayloadTooLargeException",
    )
    assert counted("gateway_publications_total") == 0


@pytest.mark.parametrize("path", ["/@broadcast", "/@batch"])
async def test_so_many_bytes_may_be_published_at_once(alone: InProcess, path: str) -> None:
    channels = 128
    text = "x" * (MAX_TOGETHER_BYTES // channels - len('""') - len("kv"))

    def said(text: str) -> Json:
        one = {"channels": ["hall"] * channels, "data": text, "tags": {"k": "v"}}
        return one if path == "/@broadcast" else {"commands": [{"broadcast": one}]}

    assert (await post(alone, path, said(text))).status_code == 200
    answer = await post(alone, path, said(text + "x"))
    assert error(answer) == (413, "PayloadTooLargeException")
    assert str(MAX_TOGETHER_BYTES) in answer.json()["message"]


WRONG = [
    ("/@broadcast", "", "Input data was truncated"),
    ("/@broadcast", "[]", "Expected `object`"),
    ("/@broadcast", '{"channels":["a"]}', "missing required field `data`"),
    ("/@broadcast", '{"channels":[],"data":1}', "length >= 1"),
    ("/@broadcast", '{"channels":"a","data":1}', "Expected `array`"),
    ("/@broadcast", '{"channels":["a"],"data":1,"key":"k"}', "unknown field `key`"),
    ("/@broadcast", '{"channels":["a"],"data":1,"idempotency_key":""}', "length >= 1"),
    ("/@broadcast", '{"channels":["a"],"data":1,"version":-1}', ">= 0"),
    ("/@broadcast", '{"channels":["a"],"data":1,"tags":{"a":1}}', "Expected `str`"),
    ("/@broadcast", '{"channels":["a"],"data":{}', "truncated"),
    ("/@broadcast", '{"channels":["a"],"data":' + "[" * 100_000, "nested more than 128 deep"),
    ("/@batch", '{"commands":[]}', "length >= 1"),
    ("/@batch", '{"publish":{"channel":"a","data":1}}', "unknown field `publish`"),
    ("/@batch?parallel=true", '{"commands":[{}]}', "no parameter parallel"),
]


@pytest.mark.parametrize(("path", "body", "words"), WRONG, ids=range(len(WRONG)))
async def test_a_request_that_is_malformed_says_how(
    alone: InProcess, path: str, body: str, words: str
) -> None:
    async with httpx.AsyncClient(base_url=alone.url, headers=SHOWN) as http:
        answer = await http.post(path, content=body)

    assert error(answer) == (400, "BadRequestException")
    assert words in answer.json()["message"]


async def test_a_batch_has_no_key_of_its_own(alone: InProcess) -> None:
    answer = await post(alone, "/@batch", {"commands": [{}]}, **{"Idempotency-Key": "k"})

    assert error(answer) == (400, "BadRequestException")
    assert "its own idempotency_key" in answer.json()["message"]


@pytest.mark.parametrize("path", ["/@broadcast", "/@batch"])
async def test_who_has_no_key_and_who_asks_otherwise_is_refused(
    alone: InProcess, path: str
) -> None:
    async with httpx.AsyncClient(base_url=alone.url) as http:
        assert (await http.post(path, json=many(4, path))).status_code == 401
        assert (await http.get(path, headers=SHOWN)).status_code == 405


@pytest.mark.parametrize("path", ["/@broadcast", "/@batch"])
async def test_each_thing_that_is_asked_for_counts_for_the_rate(
    alone: InProcess, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    parts, rate = alone.worker.parts, Rate(10, now=0.0)
    monkeypatch.setattr(parts, "api", replace(parts.api, rate=rate, now=lambda: now))
    now = 0.0
    over = await post(alone, path, many(11, path))
    assert error(over) == (413, "PayloadTooLargeException")
    assert "takes 10 a second" in over.json()["message"]
    now = 1.0
    assert (await post(alone, path, many(7, path))).status_code == 200
    answer = await post(alone, path, many(4, path))  # itself counted as one
    assert error(answer) == (429, "LimitExceededException")
    assert answer.headers["retry-after"] == "1"
    assert (await post(alone, "/@broadcast", many(2, "/@broadcast"))).status_code == 200
    assert not rate.allow(now)


async def test_nobody_waits_behind_the_users_of_a_batch(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red while they waited in the queue of all who ask the registry: of a thousand a part was told
    after 5 s that Redis did not answer, and so was everybody else.
    """
    go_on = asyncio.Event()
    asked = 0

    async def of_user(_self: MemoryRegistry, _user: str) -> list[Any]:
        nonlocal asked
        asked += 1
        await go_on.wait()
        return []

    monkeypatch.setattr(MemoryRegistry, "of_user", of_user)
    commands = [{"send_to_user": {"user": f"u{n}", "text": "x"}} for n in range(50)]
    commands.append({"disconnect_user": {"user": "u"}})
    async with in_process(own(settings, redis_url=Secret(""))) as served:
        batches = [asyncio.create_task(batch(served, *commands)) for _ in range(2)]
        await eventually(lambda: asked > 0, "the first question")
        async with httpx.AsyncClient(base_url=served.url, headers=SHOWN) as http:
            assert (await http.get("/@workers")).status_code == 200
            assert (await http.get("/@connections")).status_code == 200
        assert asked == 1
        served.worker._housekeeping.fold()
        assert REGISTRY.get_sample_value("gateway_registry_waiting", {"of": "batches"}) == 101
        go_on.set()
        for each in batches:
            assert [result["status"] for result in await each] == [200] * len(commands)


async def test_a_user_of_a_batch_whose_turn_does_not_come_is_told_so(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it is told that Redis does not answer: whoever reads that looks in vain there."""
    go_on = asyncio.Event()

    async def of_user(_self: MemoryRegistry, _user: str) -> list[Any]:
        await go_on.wait()
        return []

    monkeypatch.setattr(MemoryRegistry, "of_user", of_user)
    monkeypatch.setattr("gateway.messaging.registry_turns.TURN_S", 0.05)
    commands = [{"send_to_user": {"user": name, "text": "x"}} for name in ("first", "second")]
    async with in_process(own(settings, redis_url=Secret(""))) as served:
        counted = Counted(served)
        waiting = asyncio.create_task(batch(served, *commands))
        await eventually(lambda: counted("gateway_registry_busy_total") > 0, "the wait's end")
        go_on.set()
        [first, second] = await waiting

    assert first["status"] == 200
    assert (second["status"], second["error"]) == (503, "ServiceUnavailableException")
    assert "its turn does not come within 0.05 s" in second["message"]
