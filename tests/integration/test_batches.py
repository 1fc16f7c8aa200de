"""Batches stay batches, from the turn of the loop in which messages are read to the socket."""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import redis.asyncio

import gateway
from gateway.messaging import batch_clock
from gateway.protocol.envelopes.dispatching import Dispatch, Reply
from gateway.protocol.envelopes.wire import read
from gateway.redis_support import keys
from tests.integration.conftest import MakeSettings
from tests.support.counted_sockets import counted_protocol
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import raw_websocket
from tests.support.redis_server import RedisServer
from tests.support.rounds import Crowd
from tests.support.waiting import eventually

MESSAGES: Final = 20
CLIENTS: Final = 100
ROUNDS: Final = 10
CALLS_PER_MESSAGE: Final = 37  # 35 are made; 84 were while each message asked for room
PACKAGE: Final = str(Path(gateway.__file__).parent) + os.sep


@asynccontextmanager
async def two_roles(
    settings: MakeSettings, **uvicorn: Any
) -> AsyncIterator[tuple[InProcess, InProcess]]:
    """An edge and a handler worker: every message is routed."""
    async with (
        in_process(settings(role="handler")) as handler,
        in_process(settings(role="edge"), **uvicorn) as edge,
    ):
        await eventually(lambda: edge.worker.parts.members.handlers, "a handler")
        yield edge, handler


async def test_answers_of_one_inbox_batch_leave_in_one_write(settings: MakeSettings) -> None:
    Protocol = counted_protocol()  # noqa: N806 (a class)

    async with (
        two_roles(settings, ws=Protocol) as (edge, _),
        raw_websocket(edge.port) as client,
    ):
        client.say("hello")
        await client.texts(1)
        [transport] = Protocol.made
        before = transport.writes
        client.say(*map(str, range(MESSAGES)))

        assert await client.texts(MESSAGES) == [f"Received:{n}" for n in range(MESSAGES)]
        assert transport.writes - before == 1


async def test_messages_of_one_read_take_one_publish_each_way(
    settings: MakeSettings, redis_server: RedisServer
) -> None:
    async with (
        two_roles(settings) as (edge, handler),
        raw_websocket(edge.port) as client,
        redis.asyncio.Redis(port=redis_server.port) as spy,
        spy.pubsub() as heard,
    ):
        client.say("hello")
        await client.texts(1)
        for served in (edge, handler):
            await heard.subscribe(keys.inbox(settings().redis_prefix, served.worker.me))
            assert await heard.get_message(timeout=5), "no acknowledgement"
        client.say(*map(str, range(MESSAGES)))
        await client.texts(MESSAGES)
        sizes: dict[type, list[int]] = {Dispatch: [], Reply: []}
        while sum(map(sum, sizes.values())) < 2 * MESSAGES:
            message = await heard.get_message(timeout=5)
            assert message is not None, sizes
            batch = read(message["data"])
            assert batch is not None
            for kind, counts in sizes.items():
                if found := sum(isinstance(envelope, kind) for envelope in batch.envelopes):
                    counts.append(found)

        assert sizes == {Dispatch: [MESSAGES], Reply: [MESSAGES]}


async def test_a_message_makes_no_task_no_timer_and_no_line_in_the_log(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does it take a lock, or touch the registry: what is done once a batch does not count."""
    loop = asyncio.get_running_loop()
    made: Counter[str] = Counter()
    for name in ("create_task", "call_later", "call_at"):
        monkeypatch.setattr(loop, name, counting(made, name, getattr(loop, name)))
    async with two_roles(settings) as (edge, _):
        crowd = await Crowd.connect(edge.port, CLIENTS)
        await crowd.round(0)
        made.clear()
        profile = cProfile.Profile()
        with profile:
            for number in range(1, 1 + ROUNDS):
                await crowd.round(number)
        crowd.close()
        calls = calls_by_file(profile)

    # It was the messages that were seen.
    assert calls["gateway/handlers/dispatcher.py"] >= CLIENTS * ROUNDS
    rare = {name: calls[name] for name in RARE} | made
    # Batches, probes, leases and the server's own ticks are some; a tenth, on a quiet machine.
    assert max(rare.values()) < CLIENTS * ROUNDS, rare


async def test_a_routed_message_takes_no_more_calls_than_it_did(settings: MakeSettings) -> None:
    """Of functions of the package, by the edge and by the handler worker. What is done once a
    batch, or now and then, is a few in a hundred of them.
    """
    async with two_roles(settings) as (edge, _):
        crowd = await Crowd.connect(edge.port, CLIENTS)
        await crowd.round(0)
        profile = cProfile.Profile()
        with profile:
            for number in range(1, 1 + ROUNDS):
                await crowd.round(number)
        crowd.close()
    calls = {
        f"{file}:{name}": count / (CLIENTS * ROUNDS)
        for (file, _, name), (_, count, *_) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
        if PACKAGE in file
    }

    assert calls, "none was seen"
    assert sum(calls.values()) <= CALLS_PER_MESSAGE, sorted(
        calls, key=lambda name: calls[name], reverse=True
    )[:80]


async def test_a_message_alone_waits_for_no_reply_of_redis(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Redis is prompt, which it is here, however busy the machine is.

    Nor does it ask for the loop: up to Python 3.11 that is a system call.
    """
    monkeypatch.setattr(batch_clock, "QUIET_S", 60.0)
    monkeypatch.setattr(batch_clock, "PROMPT_S", 60.0)
    async with two_roles(settings) as (edge, _):
        crowd = await Crowd.connect(edge.port, 1)
        await crowd.round(0)
        profile = cProfile.Profile()
        with profile:
            for number in range(1, 1 + CLIENTS):
                await crowd.round(number)
        crowd.close()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    calls = {
        name: count
        for (file, _, name), (_, count, *_) in stats.items()
        if file.endswith("gateway/redis_support/connection.py")
    }
    asked = {
        f"{file}:{name}": count
        for (_, _, called), (*_, callers) in stats.items()
        if "get_running_loop" in called
        for (file, _, name), (_, count, *_) in callers.items()
        if PACKAGE in file
    }

    assert calls["send_unanswered"] >= 2 * CLIENTS
    # Renewals, probes and a look at the server's role have replies: each once in a while.
    assert calls.get("_take", 0) < CLIENTS / 2, calls
    assert sum(asked.values()) < CLIENTS / 2, asked


RARE: Final = (
    "asyncio/locks.py",
    "asyncio/timeouts.py",
    "gateway/cluster/loopback_probe.py",
    "gateway/cluster/membership.py",
    "gateway/cluster/registration.py",
    "gateway/registry/redis.py",
    "gateway/protocol/subscription_health.py",
    "logging/__init__.py",
    "prometheus_client/metrics.py",
    "structlog/_base.py",
    "threading.py",
)


def counting(made: Counter[str], name: str, call: Any) -> Any:
    def counted(*arguments: Any, **options: Any) -> Any:
        made[name] += 1
        return call(*arguments, **options)

    return counted


def calls_by_file(profile: cProfile.Profile) -> Counter[str]:
    """How often functions of each file were called; a file is named from its package on."""
    calls: Counter[str] = Counter()
    for (file, _, _), (_, count, *_) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        for name in (*RARE, "gateway/handlers/dispatcher.py"):
            if file.endswith("/" + name):
                calls[name] += count
    return calls
