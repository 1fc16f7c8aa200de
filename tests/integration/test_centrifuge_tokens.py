"""Clients of the Centrifuge protocol show tokens, on real sockets."""

from __future__ import annotations

import time
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

import pytest

from gateway import Admit, Connection, Gateway
from gateway.edge.sessions.centrifuge import session as edge_session
from gateway.protocol.centrifuge.session import Session, Timing
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import centrifuge_client, centrifuge_socket
from tests.support.inprocess import InProcess, in_process
from tests.support.tokens import OTHER_SECRET, SECRET, is_left_of, token
from tests.support.waiting import eventually, eventually_async

KEY = {"token_hmac_secret_key": Secret(SECRET)}


def ann(**claims: Any) -> str:
    return token({"sub": "ann", **claims})


def serving(
    settings: MakeSettings, gateway: Gateway | None = None
) -> AbstractAsyncContextManager[InProcess]:
    return in_process(settings(**KEY), gateway)


async def test_a_token_says_who_a_client_is(settings: MakeSettings) -> None:
    async with serving(settings) as served:

        async def found(*ids: str) -> bool:
            return [one.id for one in await served.gateway.connections(user="ann")] == list(ids)

        async with centrifuge_client(served.port, token=ann()) as client:
            await eventually_async(partial(found, client.id), "its user is known")
        await eventually_async(found, "it is forgotten")


async def test_handlers_are_told_who_it_has_become(settings: MakeSettings) -> None:
    gateway, users = Gateway(), list[str | None]()

    @gateway.on_connect
    async def let_in(connection: Connection) -> None:
        users.append(connection.user)

    @gateway.on_disconnect
    async def gone(connection: Connection) -> None:
        users.append(connection.user)

    async with serving(settings, gateway) as served:
        async with centrifuge_client(served.port, token=ann()):
            assert users == [None]
        await eventually(lambda: len(users) == 2, "on_disconnect")

    assert users == [None, "ann"]


@pytest.mark.parametrize("claims", [{}, {"channels": ["news"]}])
async def test_a_client_is_told_for_how_long_its_token_lasts(
    settings: MakeSettings, claims: dict[str, Any]
) -> None:
    async with serving(settings) as served, centrifuge_socket(served.port) as client:
        began = time.time()
        result = await client.connect(token=ann(exp=began + 100, **claims))

        assert result["expires"] is True
        assert is_left_of(result["ttl"], 100, since_unix_s=began)


async def test_a_token_that_names_channels_lasts_no_longer(settings: MakeSettings) -> None:
    async with serving(settings) as served, centrifuge_socket(served.port) as client:
        began = time.time()
        result = await client.connect(token=ann(exp=began + 100, channels=["news"]))

        assert list(result["subs"]) == ["news"]
        assert is_left_of(result["ttl"], 100, since_unix_s=began)


async def test_an_expired_token_is_told_apart(settings: MakeSettings) -> None:
    async with serving(settings) as served, centrifuge_socket(served.port) as client:
        reply = await client.ask(connect={"token": ann(exp=time.time() - 61)})

        assert reply["error"] == {"code": 109, "message": "token expired"}


async def test_a_token_of_a_clock_that_is_a_minute_apart_is_taken(settings: MakeSettings) -> None:
    async with serving(settings) as served:
        for claims in ({"exp": time.time() - 50}, {"nbf": time.time() + 50}):
            async with centrifuge_socket(served.port) as client:
                assert await client.connect(token=ann(**claims))


@pytest.mark.parametrize(
    "bad", ["a.b.c", "x" * 40_000, token({"sub": "ann"}, OTHER_SECRET), ann(channel="room:1")]
)
async def test_an_invalid_token_ends_the_connection(settings: MakeSettings, bad: str) -> None:
    async with serving(settings) as served, centrifuge_socket(served.port) as client:
        client.say(client.command(connect={"token": bad}))

        assert await client.closed() == (3500, "invalid token")


async def test_a_token_may_not_contradict_the_application(settings: MakeSettings) -> None:
    gateway = Gateway()

    @gateway.on_connect
    async def let_in(connection: Connection) -> Admit:
        return Admit(connection.headers.get("x-user"))

    async with serving(settings, gateway) as served:
        for user, told in (("ann", True), ("", True), ("bob", False)):
            headers = {"x_user": user} if user else {}
            async with centrifuge_socket(served.port, **headers) as client:
                client.say(client.command(connect={"token": ann()}))
                if told:
                    await client.next(lambda message: "connect" in message)
                else:
                    assert await client.closed() == (3500, "invalid token")


# Refresh


async def test_a_new_token_lets_a_client_stay(settings: MakeSettings) -> None:
    async with serving(settings) as served, centrifuge_socket(served.port) as client:
        await client.connect(token=ann(exp=time.time() + 30))

        began = time.time()
        refreshed = (await client.ask(refresh={"token": ann(exp=began + 100)}))["refresh"]

        assert refreshed["client"] == client.id
        assert is_left_of(refreshed["ttl"], 100, since_unix_s=began)


@pytest.mark.parametrize(
    ("given", "close"),
    [
        ("", (3501, "bad request")),
        ("a.b.c", (3500, "invalid token")),
        (token({"sub": "bob"}), (3500, "invalid token")),
        (ann(exp=1), (3005, "connection expired")),
        (ann(channels=["news"]), (3010, "insufficient state")),
    ],
)
async def test_another_token_does_not(
    settings: MakeSettings, given: str, close: tuple[int, str]
) -> None:
    async with serving(settings) as served, centrifuge_socket(served.port) as client:
        await client.connect(token=ann(exp=time.time() + 30))
        client.say(client.command(refresh={"token": given}))

        assert await client.closed() == close


async def test_who_came_without_a_token_has_nothing_to_refresh(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**KEY, allow_anonymous_connect_without_token=True)) as served,
        centrifuge_client(served.port) as client,
    ):
        client.say(client.command(refresh={"token": ann()}))

        assert await client.closed() == (3501, "bad request")


async def test_who_does_not_refresh_is_closed(
    settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(*args: Any, **named: Any) -> Session:
        return Session(*args, **(named | {"timing": Timing(expired_s=0.2)}))

    monkeypatch.setattr(edge_session, "Session", session)
    async with serving(settings) as served, centrifuge_socket(served.port) as client:
        await client.connect(token=ann(exp=time.time() + 1))

        assert await client.closed() == (3005, "connection expired")
