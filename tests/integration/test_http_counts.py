"""What a call of the connection API costs, in things that do not depend on the machine."""

from __future__ import annotations

import cProfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import redis

from gateway.edge.sockets.uvicorn_http import GatewayHttp
from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.writing import Command
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.test_fan_out_counts import CHANNELS, PERIODS, own_calls
from tests.integration.test_http_api import KEY, SHOWN
from tests.support.counted_sockets import CountedTransport
from tests.support.inprocess import in_process
from tests.support.redis_server import RedisServer

CALLS = 10
AT_ONCE = 500
MOST_OWN_CALLS = {"broadcast": 18.0, "batch": 31.0}  # of functions of the package, an item
Body = dict[str, Any]


def broadcast(channel: Callable[[int], str]) -> tuple[str, Body]:
    return "/@broadcast", {"channels": [channel(n) for n in range(AT_ONCE)], "data": 1}


def batch(channel: Callable[[int], str]) -> tuple[str, Body]:
    commands = [{"publish": {"channel": channel(n), "data": 1}} for n in range(AT_ONCE)]
    return "/@batch", {"commands": commands}


BOTH = pytest.mark.parametrize("asked", [broadcast, batch], ids=lambda asked: asked.__name__)


async def test_a_call_is_answered_in_one_write(settings: MakeSettings) -> None:
    made: list[CountedTransport] = []

    class Counted(GatewayHttp):
        def connection_made(self, transport: Any) -> None:
            made.append(CountedTransport(transport))
            super().connection_made(made[-1])  # type: ignore[arg-type]  # it is one but for its type

    served = in_process(settings(api_keys=Secret(KEY), redis_url=Secret("")), http=Counted)
    async with served as running, httpx.AsyncClient(base_url=running.url, headers=SHOWN) as http:
        for _ in range(CALLS):
            assert (await http.post("/@channels/news", content="1")).status_code == 200

    assert [transport.writes for transport in made] == [CALLS]


@BOTH
@pytest.mark.parametrize(
    ("channel", "command", "least", "most"),
    [
        pytest.param("news{}", "publish", AT_ONCE, AT_ONCE * 1.1, id="each its own"),
        pytest.param("kept:news", "evalsha", 5, 5, id="one that is kept"),
    ],
)
async def test_what_one_request_publishes_leaves_in_one_pipeline(
    settings: MakeSettings,
    own_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[Callable[[int], str]], tuple[str, Body]],
    channel: str,
    command: str,
    least: int,
    most: float,
) -> None:
    pipelines: list[int] = []
    execute = RedisConnection.execute

    def counted(connection: RedisConnection, commands: list[Command], **options: Any) -> Any:
        words = [str(each[0]).lower() for each in commands]
        if words.count(command) >= 5:  # what workers tell each other is PUBLISH as well
            pipelines.append(len(commands))
        return execute(connection, commands, **options)

    path, body = asked(channel.format)
    own = settings(redis_url=Secret(own_redis.url), api_keys=Secret(KEY), channel=CHANNELS)
    async with (
        in_process(own) as served,
        httpx.AsyncClient(base_url=served.url, headers=SHOWN, timeout=10) as http,
    ):
        await served.gateway.publish("kept:other", 1)  # Redis knows the script then
        with redis.Redis.from_url(own_redis.url) as server:
            server.config_resetstat()
            monkeypatch.setattr(RedisConnection, "execute", counted)
            answer = await http.post(path, json=body)
            calls = server.info("commandstats")[f"cmdstat_{command}"]["calls"]

    assert [each["status"] for each in answer.json()["results"]] == [200] * AT_ONCE
    assert least <= calls <= most
    assert pipelines == [AT_ONCE if command == "publish" else 5]


@BOTH
async def test_an_item_takes_no_more_calls_than_it_did(
    settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
    asked: Callable[[Callable[[int], str]], tuple[str, Body]],
) -> None:
    path, body = asked("news{}".format)
    own = settings(redis_url=Secret(""), api_keys=Secret(KEY), api_body_bytes=1 << 20)
    async with (
        in_process(own) as served,
        httpx.AsyncClient(base_url=served.url, headers=SHOWN, timeout=10) as http,
    ):
        await http.post(path, json=body)
        for period in PERIODS:
            monkeypatch.setattr(f"gateway.{period}", 3600.0)
        profile = cProfile.Profile()
        with profile:
            assert (await http.post(path, json=body)).status_code == 200
    cost = {name: count / AT_ONCE for name, count in own_calls(profile).items()}

    most = MOST_OWN_CALLS[asked.__name__]
    assert 0 < sum(cost.values()) <= most, sorted(cost.items(), key=lambda one: -one[1])[:30]
