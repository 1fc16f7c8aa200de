"""Redis answers, and says no: handshakes are refused, and no message waits for ever."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gateway import metrics
from tests.integration.counting import Counted
from tests.support.inprocess import in_process, redis_settings
from tests.support.logs import capture_logs
from tests.support.rawclient import handshake, raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.waiting import eventually

USER = ("gateway", "secret")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.cluster.registration.IDLE_WRITE_S", 0.3)


@contextmanager
def out_of_memory(server: RedisServer) -> Iterator[None]:
    with server.client() as admin:
        admin.config_set("maxmemory", "100kb")
        yield
        admin.config_set("maxmemory", "0")


@contextmanager
def without(server: RedisServer, *rules: str) -> Iterator[None]:
    """Take this from the gateway's user for a while."""
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", USER[0], *rules)
        yield
        everything(server)


def everything(server: RedisServer) -> None:
    with server.client() as admin:
        admin.execute_command(
            "ACL", "SETUSER", USER[0], "reset", "on", f">{USER[1]}", "~*", "&*", "+@all"
        )


def guarded_url(server: RedisServer) -> str:
    everything(server)
    return f"redis://{USER[0]}:{USER[1]}@127.0.0.1:{server.port}/0"


def refusals(logged: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(e["kind"], e["error"]) for e in logged if e["event"] == "redis refuses"]


async def test_out_of_memory_handshakes_get_503_and_open_sockets_are_served(
    own_redis: RedisServer,
) -> None:
    """Red before the registry was written all the time: 101, and no answer for ever."""
    own = redis_settings(own_redis.url, "oom")
    async with in_process(own) as served, raw_websocket(served.port) as client:
        client.say("before")
        await client.texts(1)
        counted = Counted(served)
        with capture_logs() as logged, out_of_memory(own_redis):
            await eventually(lambda: not served.worker.ready, "the end of readiness", 5)
            answer = await handshake(served.port)
            client.say("meanwhile")
            assert await client.texts(1) == ["Received:meanwhile"]
        await eventually(lambda: served.worker.ready, "readiness", 5)

        assert answer.status == 503
        [(kind, words), *_] = refusals(logged)
        assert kind == "memory"
        assert words.startswith("OOM command not allowed when used memory > 'maxmemory'")
        assert counted("gateway_redis_errors_total", kind="memory") >= 1
        assert (await handshake(served.port)).status == 101


async def test_a_message_waits_for_the_registry_no_longer_than_for_a_handler(
    own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket that was opened in the last moment sees its end, and may try elsewhere.

    Red without ``OutageLimit.give_up_waiting``.
    """
    own = redis_settings(own_redis.url, "late", handler_seconds=1.0)
    async with in_process(own) as served:
        monkeypatch.setattr("gateway.cluster.registration.IDLE_WRITE_S", 60.0)
        await eventually(lambda: not served.worker.parts.cluster.registration.writing, "a pause")
        with out_of_memory(own_redis):
            async with raw_websocket(served.port) as client:
                client.say("hello")
                *_, last = await client.rest()

        assert last.closing == (3004, "broker unavailable")


async def test_a_message_to_another_worker_waits_for_redis_no_longer_either(
    own_redis: RedisServer,
) -> None:
    """Red without ``OutageLimit.give_up_waiting``: it waits for as long as Redis is away."""
    edge_own = redis_settings(guarded_url(own_redis), "away", role="edge", handler_seconds=1.0)
    handler_own = redis_settings(own_redis.url, "away", role="handler")
    async with in_process(handler_own), in_process(edge_own) as edge:
        await eventually(lambda: edge.worker.parts.members.handlers, "a handler")
        async with raw_websocket(edge.port) as client, raw_websocket(edge.port) as idle:
            client.say("before")
            await client.texts(1)
            with capture_logs() as logged, without(own_redis, "-publish"):
                client.say("hello")
                *_, last = await client.rest()
            await eventually(lambda: edge.worker.ready, "readiness", 5)
            idle.say("still here")

            assert last.closing == (3004, "broker unavailable")
            assert await idle.texts(1) == ["Received:still here"]
            assert "permission" in dict(refusals(logged))


@pytest.mark.parametrize(
    ("rules", "command"),
    [
        (("-publish",), "PUBLISH"),
        (("resetchannels", "&none"), "SUBSCRIBE"),
        (("-eval",), "EVAL "),
        (("-hset",), "EVALSHA"),
        (("resetkeys", "~other:*"), "EVALSHA"),
    ],
)
async def test_what_a_user_may_not_do_is_said_with_the_command(
    own_redis: RedisServer, rules: tuple[str, ...], command: str
) -> None:
    """Red before errors were told to the node: nothing in the log, or a type of an exception."""
    own = redis_settings(guarded_url(own_redis), "acl", lease_seconds=2)

    def with_command(event: dict[str, Any]) -> bool:
        said = str(event.get("command"))
        return event["event"] == "redis refuses" and command in said and "acl:" in said

    async with in_process(own) as served:
        with capture_logs() as logged, without(own_redis, *rules):
            await eventually(lambda: not served.worker.ready, "the end of readiness", 8)
            await eventually(lambda: any(map(with_command, logged)), "the reason", 8)
        await eventually(lambda: served.worker.ready, "readiness", 10)

    said = [e for e in logged if e["event"] == "redis refuses"]
    assert all(e["error"].startswith(("NOPERM", "ERR The user executing")) for e in said)


def subscribed(server: RedisServer) -> set[str]:
    with server.client() as admin:
        return {name.decode() for name in admin.pubsub_channels("sub:*")}


async def test_a_subscription_that_is_refused_is_said_with_its_channel(
    own_redis: RedisServer,
) -> None:
    own = redis_settings(guarded_url(own_redis), "sub")
    async with in_process(own) as served:
        channels = subscribed(own_redis)
        with capture_logs() as logged, without(own_redis, "-subscribe"):
            served.worker.parts.broker.resubscribe()
            await eventually(lambda: refusals(logged), "the reason", 8)
        await eventually(lambda: subscribed(own_redis) == channels, "all that was refused", 10)
        await eventually(lambda: served.worker.ready, "readiness", 10)

    assert len(channels) == 2
    assert refusals(logged)[0][1].startswith("NOPERM")
    [first, *_] = [e for e in logged if e["event"] == "redis refuses"]
    assert first["command"] in {f"SUBSCRIBE {name}" for name in channels}


def test_every_kind_of_error_is_a_label() -> None:
    metrics.count_redis_error("other")

    assert 'gateway_redis_errors_total{kind="other"}' in metrics.exposition().decode()


async def test_a_database_of_its_own_is_not_said_to_be_refused(redis_server: RedisServer) -> None:
    """Red on Redis 7.0, which does not know CLIENT SETINFO: it was said to refuse SELECT."""
    own = redis_settings(f"redis://127.0.0.1:{redis_server.port}/1", "database")
    with capture_logs() as logged:
        async with in_process(own) as served, raw_websocket(served.port):
            pass

    assert refusals(logged) == []
