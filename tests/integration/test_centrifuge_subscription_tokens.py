"""What tokens say of channels: subscriptions by the client and by the server, on real sockets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

import pytest

from gateway import Admit, Connection, Gateway, Grant, Subscription
from gateway.edge.sessions.centrifuge import session as edge_session
from gateway.protocol.centrifuge.session import Session, Timing
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.support.centrifuge_client import CentrifugeClient, centrifuge_client, centrifuge_socket
from tests.support.inprocess import InProcess, cluster
from tests.support.tokens import OTHER_SECRET, SECRET, is_left_of, token

KEPT: Final[dict[str, Any]] = {
    "history_size": 100,
    "history_ttl": timedelta(minutes=5),
    "allow_recovery": True,
}
SEEN: Final[dict[str, Any]] = {
    "presence": True,
    "join_leave": True,
    "allow_presence_for_client": True,
}
CHANNELS: Final = Namespaces(
    without_namespace=ChannelOptions(**KEPT),
    named={"seen": ChannelOptions(**KEPT, **SEEN), "open": ChannelOptions(
        allow_subscribe_for_client=True), "personal": ChannelOptions(**KEPT)},
)  # fmt: skip


def ann(**claims: Any) -> str:
    return token({"sub": "ann", **claims})


def until(seconds: float) -> float:
    return time.time() + seconds


@asynccontextmanager
async def two_workers(
    settings: MakeSettings, gateways: list[Gateway] | None = None, **changes: Any
) -> AsyncIterator[list[InProcess]]:
    chosen = settings(channel=CHANNELS, token_hmac_secret_key=Secret(SECRET), **changes)
    async with cluster(chosen, 2, gateways) as made:
        yield made


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    def session(*args: Any, **named: Any) -> Session:
        return Session(*args, **(named | {"timing": Timing(expired_s=0.1)}))

    monkeypatch.setattr(edge_session, "Session", session)


# By the client


@pytest.mark.parametrize("channel", ["seen:1", "$seen:1", "seen:1#bob"])
async def test_a_token_opens_its_channel_and_says_what_others_are_shown(
    settings: MakeSettings, channel: str
) -> None:
    began = time.time()
    shown = ann(channel=channel, info={"role": "host"}, data={"hello": 1}, exp=began + 100)
    async with (
        two_workers(settings) as (one, two),
        centrifuge_client(one.port, token=ann(info={"name": "Ann"})) as client,
        centrifuge_client(two.port, token=token({"sub": "bob"})) as bob,
    ):
        refused = await client.ask(subscribe={"channel": channel})
        result = await client.subscribe(channel, token=shown)
        present = (await bob.ask(presence={"channel": channel}))["presence"]["presence"]

        assert refused["error"]["code"] == 103
        assert result["expires"] is True
        assert is_left_of(result["ttl"], 100, since_unix_s=began)
        assert result["data"] == {"hello": 1}
        assert present == {
            client.id: {
                "user": "ann",
                "client": client.id,
                "conn_info": {"name": "Ann"},
                "chan_info": {"role": "host"},
            }
        }


REFUSED: Final = [
    ("a.b.c", 103),
    (token({"sub": "ann", "channel": "news"}, OTHER_SECRET), 103),
    (ann(), 103),
    (ann(channel="news", exp=1), 109),
]
CLOSED: Final = [
    token({"sub": "bob", "channel": "news"}),
    ann(channel="other"),
    ann(channel="news", client="somebody"),
]


@pytest.mark.parametrize(("shown", "code"), REFUSED)
async def test_a_bad_token_opens_nothing(settings: MakeSettings, shown: str, code: int) -> None:
    async with (
        two_workers(settings) as (one, _),
        centrifuge_client(one.port, token=ann()) as client,
    ):
        reply = await client.ask(subscribe={"channel": "news", "token": shown})

        assert reply["error"]["code"] == code
        assert one.worker.parts.channels.subscriptions == 0


@pytest.mark.parametrize("shown", CLOSED)
@pytest.mark.parametrize("command", ["subscribe", "sub_refresh"])
async def test_the_token_of_somebody_else_ends_the_connection(
    settings: MakeSettings, command: str, shown: str
) -> None:
    async with (
        two_workers(settings) as (one, _),
        centrifuge_client(one.port, token=ann()) as client,
    ):
        if command == "sub_refresh":
            await client.subscribe("news", token=ann(channel="news", exp=until(100)))
        client.say(client.command(**{command: {"channel": "news", "token": shown}}))

        assert await client.closed() == (3500, "invalid token")


async def test_a_token_of_this_very_client_is_taken(settings: MakeSettings) -> None:
    async with (
        two_workers(settings) as (one, _),
        centrifuge_client(one.port, token=ann()) as client,
    ):
        assert await client.subscribe("news", token=ann(channel="news", client=client.id)) == {}


# Refreshed, or not


async def refresh(client: CentrifugeClient, shown: str, channel: str = "news") -> dict[str, Any]:
    return await client.ask(sub_refresh={"channel": channel, "token": shown})


async def test_a_new_token_lets_a_subscription_stay(settings: MakeSettings) -> None:
    async with (
        two_workers(settings) as (one, _),
        centrifuge_client(one.port, token=ann()) as client,
    ):
        assert (await refresh(client, ann(channel="news")))["error"]["code"] == 103
        await client.subscribe("news", token=ann(channel="news", exp=until(30)))

        began = time.time()
        refreshed = (await refresh(client, ann(channel="news", exp=began + 100)))["sub_refresh"]
        assert refreshed["expires"] is True
        assert is_left_of(refreshed["ttl"], 100, since_unix_s=began)
        assert (await refresh(client, ann(channel="news", exp=1)))["error"]["code"] == 109
        assert (await refresh(client, ann(channel="news")))["sub_refresh"] == {}


@pytest.mark.parametrize(
    ("shown", "close"), [("a.b.c", (3500, "invalid token")), ("", (3501, "bad request"))]
)
async def test_a_bad_token_in_a_refresh_ends_the_connection(
    settings: MakeSettings, shown: str, close: tuple[int, str]
) -> None:
    async with (
        two_workers(settings) as (one, _),
        centrifuge_client(one.port, token=ann()) as client,
    ):
        await client.subscribe("news", token=ann(channel="news", exp=until(30)))
        client.say(client.command(sub_refresh={"channel": "news", "token": shown}))

        assert await client.closed() == close


@pytest.mark.usefixtures("_impatient")
async def test_a_subscription_that_is_not_refreshed_ends_and_may_begin_again(
    settings: MakeSettings,
) -> None:
    async with (
        two_workers(settings) as (one, two),
        centrifuge_client(one.port, token=ann()) as client,
        centrifuge_client(one.port, token=ann()) as other,
    ):
        await other.subscribe("news", token=ann(channel="news", exp=until(100)))
        await client.subscribe("news", token=ann(channel="news", exp=until(1)))
        ended = await client.push("unsubscribe")
        assert ended["unsubscribe"] == {"code": 2501, "reason": "subscription expired"}
        await two.gateway.publish("news", "unheard")
        # Who publishes is answered when Redis has it, which may be before this worker has it.
        assert (await other.publication())["data"] == "unheard"
        await client.subscribe("news", token=ann(channel="news", exp=until(100)))
        await two.gateway.publish("news", "heard")

        assert (await client.publication())["data"] == "heard"


@pytest.mark.usefixtures("_impatient")
async def test_the_time_that_a_hook_gives_is_not_lengthened_by_a_token(
    settings: MakeSettings,
) -> None:
    gateways = [Gateway(), Gateway()]
    for gateway in gateways:

        @gateway.on_subscribe("news")
        async def limit(subscription: Subscription) -> Grant:
            assert subscription.token_claims is not None
            return Grant(expires_at=subscription.token_claims["hook"])

    async with (
        two_workers(settings, gateways) as (one, _),
        centrifuge_client(one.port, token=ann()) as client,
    ):
        began = time.time()
        long = {"channel": "news", "exp": began + 100}
        await client.subscribe("news", token=ann(**long, hook=until(4)))
        ttl = (await refresh(client, ann(**long)))["sub_refresh"]["ttl"]
        assert is_left_of(ttl, 100, since_unix_s=began)
        assert (await client.push("unsubscribe"))["unsubscribe"]["code"] == 2501

        await client.subscribe("news", token=ann(channel="news", exp=until(1), hook=until(100)))
        assert (await client.push("unsubscribe"))["unsubscribe"]["code"] == 2501


# By the server


async def test_a_connections_token_subscribes_it_and_it_recovers(settings: MakeSettings) -> None:
    shown = ann(
        channels=["news", "seen:1"],
        subs={"seen:1": {"info": {"seat": 7}, "data": {"topic": "tea"}}, "seen:2": {}},
    )
    async with two_workers(settings) as (one, two):
        async with centrifuge_client(one.port, token=shown) as client:
            subs = client.seen[0]["connect"]["subs"]
            assert subs.keys() == {"news", "seen:1", "seen:2"}
            assert subs["seen:1"]["data"] == {"topic": "tea"}
            present = await client.ask(presence={"channel": "seen:1"})
            assert present["presence"]["presence"][client.id]["chan_info"] == {"seat": 7}
            await two.gateway.publish("news", 1)
            assert await client.push("pub") == {"channel": "news", "pub": {"data": 1, "offset": 1}}
            again = {"subscribe": {"channel": "news", "token": ann(channel="news")}}
            assert (await client.ask(**again))["error"]["code"] == 105
        published = await two.gateway.publish("news", 2)
        place = {"recover": True, "offset": 1, "epoch": published.epoch}
        async with centrifuge_client(two.port, token=shown, subs={"news": place}) as client:
            result = client.seen[0]["connect"]["subs"]

            assert result["news"]["recovered"]
            assert [each["data"] for each in result["news"]["publications"]] == [2]
            assert "recovered" not in result["seen:1"]


async def test_a_client_may_leave_what_the_server_has_subscribed_it_to(
    settings: MakeSettings,
) -> None:
    async with (
        two_workers(settings) as (one, _),
        centrifuge_client(one.port, token=ann(channels=["news"])) as client,
    ):
        assert (await client.ask(unsubscribe={"channel": "news"}))["unsubscribe"] == {}
        assert one.worker.parts.channels.subscriptions == 0


async def test_a_channel_of_no_namespace_refuses_the_connect(settings: MakeSettings) -> None:
    async with two_workers(settings) as (one, _):
        with pytest.raises(KeyError, match="connect"):
            async with centrifuge_client(one.port, token=ann(channels=["news", "none:1"])):
                pass
        assert one.worker.parts.channels.subscriptions == 0


async def test_overrides_are_honoured(settings: MakeSettings) -> None:
    """Each of them turns the option of the namespace around."""
    turned = {
        "presence": {"value": False},
        "join_leave": {"value": False},
        "force_push_join_leave": {"value": True},
        "force_positioning": {"value": True},
    }
    shown = ann(subs={"seen:1": {"override": turned}, "news": {"override": {
        "force_recovery": True, "presence": True}}})  # fmt: skip
    async with (
        two_workers(settings) as (one, two),
        centrifuge_client(one.port, token=shown) as client,
        centrifuge_client(two.port, token=token({"sub": "bob", "channels": ["seen:1"]})) as bob,
    ):
        subs = client.seen[0]["connect"]["subs"]
        assert subs["seen:1"]["positioned"]
        assert "recoverable" not in subs["seen:1"]
        assert subs["news"]["recoverable"]
        joined = await client.push("join")
        assert joined["join"]["info"]["client"] == bob.id
        present = (await bob.ask(presence={"channel": "seen:1"}))["presence"]["presence"]
        assert present.keys() == {bob.id}
        await client.ask(unsubscribe={"channel": "seen:1"})
        await bob.ask(presence={"channel": "seen:1"})

        assert [message["push"].keys() for message in bob.seen if "push" in message] == []


@pytest.mark.parametrize(
    ("claims", "close"),
    [
        ({"subs": {"news": {}, "seen:1": {}}}, None),
        ({"channels": ["seen:1", "news"]}, None),
        ({"channels": ["news"]}, (3010, "insufficient state")),
        ({"channels": ["news", "seen:1", "seen:2"]}, (3010, "insufficient state")),
    ],
)
async def test_a_refresh_with_other_channels_sends_it_away_to_come_back(
    settings: MakeSettings, claims: dict[str, Any], close: tuple[int, str] | None
) -> None:
    shown = ann(channels=["news", "seen:1"])
    async with (
        two_workers(settings, subscribe_to_user_personal_channel_enabled=True) as (one, _),
        centrifuge_client(one.port, token=shown) as client,
    ):
        command = client.command(refresh={"token": ann(**claims)})
        client.say(command)
        if close is None:
            assert "refresh" in await client.reply_to(command)
        else:
            assert await client.closed() == close


# Personal channels


@pytest.mark.parametrize(("namespace", "channel"), [("", "#ann"), ("personal", "personal:#ann")])
async def test_each_user_has_a_channel(
    settings: MakeSettings, namespace: str, channel: str
) -> None:
    async def let_in(connection: Connection) -> Admit | None:
        user = connection.headers.get("x-user")
        return Admit(user) if user else None

    gateways = [Gateway(), Gateway()]
    for gateway in gateways:
        gateway.on_connect(let_in)
    chosen = {
        "subscribe_to_user_personal_channel_enabled": True,
        "subscribe_to_user_personal_channel_personal_channel_namespace": namespace,
        "allow_anonymous_connect_without_token": True,
    }
    async with (
        two_workers(settings, gateways, **chosen) as (one, two),
        centrifuge_client(one.port, token=ann(channels=["news"])) as client,
        centrifuge_socket(two.port, x_user="ann") as admitted,
        centrifuge_client(two.port) as nobody,
    ):
        assert (await admitted.connect())["subs"].keys() == {channel}
        assert client.seen[0]["connect"]["subs"].keys() == {"news", channel}
        assert "subs" not in nobody.seen[0]["connect"]
        await two.gateway.publish(channel, "for you")

        for each in (client, admitted):
            assert (await each.push("pub"))["channel"] == channel
