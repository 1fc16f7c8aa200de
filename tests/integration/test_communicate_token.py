"""``/communicate`` with ``GATEWAY_COMMUNICATE_TOKEN``: who shows no valid token gets no socket."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gateway import Admit, Connection, Gateway, Message
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import InProcess, in_process
from tests.support.rawclient import handshake, raw_websocket
from tests.support.tokens import OTHER_SECRET, SECRET, token

GUARDED: dict[str, Any] = {"token_hmac_secret_key": Secret(SECRET), "communicate_token": True}


def ann(**claims: Any) -> str:
    return token({"sub": "ann", **claims})


def who() -> Gateway:
    gateway = Gateway()

    @gateway.on_message
    async def answer(message: Message) -> str:
        return f"{message.connection.user} until {message.connection.expires_at}"

    return gateway


async def said(served: InProcess, path: str = "/communicate", **headers: str) -> str:
    async with raw_websocket(served.port, path, **headers) as client:
        client.say("who am I")
        return (await client.receive()).text


async def test_a_token_in_the_header_or_the_query_opens(settings: MakeSettings) -> None:
    async with in_process(settings(**GUARDED), who()) as served:
        assert await said(served, Authorization=f"Bearer {ann()}") == "ann until None"
        assert await said(served, Authorization=f"bearer {ann()}") == "ann until None"
        assert await said(served, f"/communicate?token={ann()}&a=b") == "ann until None"
        basic = {"Authorization": "Basic YTpi"}
        assert await said(served, f"/communicate?token={ann()}", **basic) == "ann until None"


@pytest.mark.parametrize(
    ("path", "headers", "text"),
    [
        ("/communicate", {}, "a valid token is needed"),
        ("/communicate?token=", {}, "a valid token is needed"),
        ("/communicate?token=a.b.c", {}, "a valid token is needed"),
        (f"/communicate?token={ann()}&token={ann()}", {}, "a valid token is needed"),
        ("/communicate?" + "&" * 200 + "a=b&" * 200, {}, "a valid token is needed"),
        (f"/communicate?token={ann(exp=1)}", {}, "the token has expired"),
        ("/communicate", {"Authorization": f"Basic {ann()}"}, "a valid token is needed"),
        ("/communicate", {"Authorization": "Bearer"}, "a valid token is needed"),
        (f"/communicate?token={ann()}", {"Authorization": "Bearer x"}, "a valid token is needed"),
        (
            "/communicate",
            {"Authorization": f"Bearer {token({'sub': 'ann'}, OTHER_SECRET)}"},
            "a valid token is needed",
        ),
    ],
)
async def test_everything_else_is_401_before_it_is_accepted(
    settings: MakeSettings, path: str, headers: dict[str, str], text: str
) -> None:
    gateway, asked = who(), list[str]()

    @gateway.on_connect
    async def let_in(connection: Connection) -> None:
        asked.append(connection.id)

    async with in_process(settings(**GUARDED), gateway) as served:
        response = await handshake(served.port, path, **headers)

        assert (response.status, response.body) == (401, text + "\n")
        assert response.headers["www-authenticate"] == "Bearer"
        assert not asked
        assert not list(served.worker.parts.hub)


async def test_the_application_is_asked_afterwards_and_may_say_otherwise(
    settings: MakeSettings,
) -> None:
    gateway, seen = who(), list[str | None]()

    @gateway.on_connect
    async def let_in(connection: Connection) -> Admit:
        seen.append(connection.user)
        return Admit("root") if "root" in connection.query else Admit()

    exp = int(time.time()) + 1000
    async with in_process(settings(**GUARDED), gateway) as served:
        path = f"/communicate?token={ann(exp=exp)}"
        assert await said(served, path) == f"ann until {exp}.0"
        assert await said(served, path + "&root") == f"root until {exp}.0"

    assert seen == ["ann", "ann"]


async def test_a_connection_ends_with_its_token(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**GUARDED), who()) as served,
        raw_websocket(
            served.port, "/communicate", Authorization=f"Bearer {ann(exp=time.time() + 1)}"
        ) as client,
    ):
        frame = (await client.rest())[-1]

        assert frame.closing == (3005, "connection expired")


async def test_its_user_is_found(settings: MakeSettings) -> None:
    async with (
        in_process(settings(**GUARDED), who()) as served,
        raw_websocket(served.port, "/communicate", Authorization=f"Bearer {ann()}") as client,
    ):
        client.say("hello")
        await client.receive()

        assert len(await served.gateway.connections(user="ann")) == 1


async def test_without_the_setting_nobody_is_asked_for_a_token(settings: MakeSettings) -> None:
    async with in_process(settings(token_hmac_secret_key=Secret(SECRET)), who()) as served:
        assert await said(served, "/communicate?token=nonsense") == "None until None"
