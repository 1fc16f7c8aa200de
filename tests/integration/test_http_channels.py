"""The connection API's calls about channels: every call, every status, each at its bound."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import MappingProxyType
from urllib.parse import quote

import httpx
import pytest

from gateway.channels.presence_questions import MAX_MEMBERS
from gateway.http_api.channel_calls import DEFAULT_HISTORY
from gateway.presence.base import PresenceStats
from gateway.protocol.channel_messages import ClientInfo
from gateway.settings.config import Settings
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.values import Secret
from tests.integration.conftest import MakeSettings
from tests.integration.test_channels import ROOM, last_connection
from tests.integration.test_http_api import KEY, SHOWN, error
from tests.support.ids import new_connection_id
from tests.support.inprocess import InProcess, cluster, in_process
from tests.support.rawclient import raw_websocket

NAMESPACES = Namespaces(
    ChannelOptions(presence=True), MappingProxyType({"room": ROOM, "quiet": ChannelOptions()})
)
ODD = ["a b", "#ann,bob", "$private", "a/b", "a%2Fb", "a/history", "..", "~!@'()*+,;=?&", "%"]


def with_channels(make: MakeSettings) -> Settings:
    return make(api_keys=Secret(KEY), channel=NAMESPACES)


@pytest.fixture
async def served(settings: MakeSettings) -> AsyncIterator[InProcess]:
    async with in_process(with_channels(settings)) as running:
        yield running


@pytest.fixture
async def http(served: InProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=served.url, headers=SHOWN, timeout=10) as client:
        yield client


# Sockets


async def test_sockets_of_both_workers_get_what_is_posted_through_either(
    settings: MakeSettings,
) -> None:
    async with (
        cluster(with_channels(settings), 2) as workers,
        raw_websocket(workers[0].port) as ann,
        raw_websocket(workers[1].port) as bob,
        httpx.AsyncClient(headers=SHOWN, timeout=10) as http,
    ):
        one = workers[0].url
        places = [f"/@connections/{last_connection(w)}/channels/room%3A1" for w in workers]
        for place in places:
            answer = await http.put(one + place)
            assert (answer.status_code, answer.json()) == (200, {"receipt": "written"})

        answer = await http.post(one + "/@channels/room:1", content='{ "a": [1.50, null],\n"b":1}')
        assert (answer.status_code, answer.json()["offset"]) == (200, 1)
        await http.post(workers[1].url + "/@channels/room:1", content='"grüße"')
        for socket in (ann, bob):
            assert await socket.texts(2) == ['{ "a": [1.50, null],"b":1}', "grüße"]

        listed = await http.get(one + "/@channels")
        assert listed.json() == {
            "channels": [{"channel": "room:1", "subscribers": 2}],
            "unanswered": [],
        }
        told = (await http.get(one + f"/@connections/{last_connection(workers[1])}")).json()
        assert told["channels"] == ["room:1"]

        assert (await http.delete(one + places[1])).status_code == 204
        await http.post(one + "/@channels/room:1", content="1")
        await http.post(one + f"/@connections/{last_connection(workers[1])}", content="after it")
        assert await ann.texts(1) == ["1"]
        assert await bob.texts(1) == ["after it"]


@pytest.mark.parametrize("name", ODD)
async def test_a_name_is_percent_encoded_in_every_path(
    served: InProcess, http: httpx.AsyncClient, name: str
) -> None:
    channel = f"room:{name}"
    path = "/@channels/" + quote(channel, safe="")
    async with raw_websocket(served.port) as ann:
        of_connection = f"/@connections/{last_connection(served)}/channels/"
        await http.put(of_connection + quote(channel, safe=""))
        assert (await http.post(path, content="1")).json()["offset"] == 1
        assert await ann.texts(1) == ["1"]
        assert [c["channel"] for c in (await http.get("/@channels")).json()["channels"]] == [
            channel
        ]
        assert [p.offset for p in (await served.gateway.history(channel)).publications] == [1]
        assert (await http.get(path + "/history")).json()["offset"] == 1
        assert (await http.delete(of_connection + quote(channel, safe=""))).status_code == 204
        assert served.worker.parts.channels.subscriptions == 0


# Publishing and history


async def test_history_is_read_from_both_ends_and_removed(http: httpx.AsyncClient) -> None:
    tags = '{"kind":"score"}'
    for n in range(1, 6):
        await http.post("/@channels/room:1", params={"tags": tags}, content=str(n))

    async def read(**params: object) -> list[int]:
        answer = await http.get("/@channels/room:1/history", params=params)  # type: ignore[arg-type]
        assert (answer.status_code, answer.json()["offset"]) == (200, 5), answer.text
        return [each["data"] for each in answer.json()["publications"]]

    whole = (await http.get("/@channels/room:1/history")).json()
    assert whole["publications"][0] == {"offset": 1, "data": 1, "tags": {"kind": "score"}}
    assert await read() == [1, 2, 3, 4, 5]
    assert await read(limit=2, reverse="true") == [5, 4]
    assert await read(since_offset=3) == [4, 5]
    assert await read(since_offset=3, since_epoch=whole["epoch"], reverse="true") == [2, 1]
    assert await read(limit=0) == []
    assert DEFAULT_HISTORY == 50

    over = await http.get("/@channels/room:1/history?since_offset=1&since_epoch=none")
    assert error(over) == (409, "ConflictException")
    assert (await http.delete("/@channels/room:1/history")).status_code == 204
    assert await read() == []


async def test_who_has_published_is_told(served: InProcess, http: httpx.AsyncClient) -> None:
    info = ClientInfo("ann", new_connection_id())
    await served.worker.parts.publisher.publish("room:1", b"1e999", info=info)

    answer = await http.get("/@channels/room:1/history")

    who = f'"client":"{info.client}","user":"ann"'
    assert f'{{"offset":1,"data":1e999,"tags":{{}},{who}}}' in answer.text


async def test_what_has_a_key_is_published_once(http: httpx.AsyncClient) -> None:
    for expected in ({"suppressed": False}, {"suppressed": True}):
        answer = await http.post(
            "/@channels/room:1", content="1", headers={"Idempotency-Key": "k" * 255}
        )
        assert answer.json() | expected == answer.json()
        assert answer.json()["offset"] == 1


async def test_versions_and_what_is_not_kept(http: httpx.AsyncClient) -> None:
    async def publish(**params: str) -> tuple[int, bool]:
        told = (await http.post("/@channels/room:1", params=params, content="1")).json()
        return told["offset"], told["suppressed"]

    assert await publish(version="2") == (1, False)
    assert await publish(version="2") == (1, True)
    assert await publish(history="false") == (0, False)
    assert await publish(version="3") == (2, False)


WRONG = {
    "no JSON": ("room:1", "", "hello", 400),
    "nothing": ("room:1", "", "", 400),
    "not UTF-8": ("room:1", "", b'"\xff"', 400),
    "nested without end": ("room:1", "", "[" * 60_000, 400),
    "nested too deeply": ("room:1", "", "[" * 129 + "]" * 129, 400),
    "tags": ("room:1", "?tags={%22a%22:1}", "1", 400),
    "version": ("room:1", "?version=-1", "1", 400),
    "version without history": ("quiet:1", "?version=1", "1", 400),
    "history": ("room:1", "?history=no", "1", 400),
    "misspelt": ("room:1", "?tag=a", "1", 400),
    "no name": ("", "", "1", 400),
    "too long a name": ("r" * 256, "", "1", 400),
    "no ASCII": ("gr%C3%BC%C3%9Fe", "", "1", 400),
    "no UTF-8": ("%FF", "", "1", 400),
    "no such namespace": ("none:1", "", "1", 404),
    "a slash as it is": ("a/b", "", "1", 404),
    "a slash at the end": ("a/", "", "1", 404),
    "too much": ("room:1", "", "1" * ((64 << 10) + 1), 413),
}


@pytest.mark.parametrize(("name", "query", "body", "status"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_said_and_nothing_is_published(
    served: InProcess,
    http: httpx.AsyncClient,
    name: str,
    query: str,
    body: str | bytes,
    status: int,
) -> None:
    answer = await http.post(f"/@channels/{name}{query}", content=body)

    assert error(answer)[0] == status
    assert served.worker.parts.counters.publications == 0


async def test_a_publication_of_exactly_64_kib_is_published(http: httpx.AsyncClient) -> None:
    assert (await http.post("/@channels/room:1", content="1" * (64 << 10))).status_code == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("quiet:1/history", 404),
        ("quiet:1/presence", 404),
        ("quiet:1/presence_stats", 404),
        ("none:1/history", 404),
        ("a%0Ab/presence", 400),
        ("room:1/nothing", 404),
        ("room:1/history?limit=301", 400),
        ("room:1/history?limit=x", 400),
        ("room:1/history?reverse=1", 400),
        ("room:1/history?since_epoch=a", 400),
        ("room:1/history?since_offset=-1", 400),
        ("room:1/history?since_offset=" + "9" * 17, 400),
    ],
)
async def test_questions_that_cannot_be_answered(
    http: httpx.AsyncClient, path: str, status: int
) -> None:
    assert error(await http.get(f"/@channels/{path}"))[0] == status


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "pattern=" + "x" * 256, "user=a"])
async def test_a_list_that_cannot_be(http: httpx.AsyncClient, query: str) -> None:
    assert error(await http.get(f"/@channels?{query}"))[0] == 400


async def test_methods_that_there_are_not(http: httpx.AsyncClient) -> None:
    for method, path, allowed in (
        ("GET", "/@channels/a", "POST"),
        ("POST", "/@channels/a/history", "GET, DELETE"),
        ("POST", f"/@connections/{new_connection_id()}/channels/a", "PUT, DELETE"),
    ):
        answer = await http.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


async def test_who_has_no_key_gets_nothing(served: InProcess) -> None:
    async with httpx.AsyncClient(base_url=served.url) as http:
        for path in ("/@channels", "/@channels/a/presence"):
            assert (await http.get(path)).status_code == 401
        assert (await http.post("/@channels/a", content="1")).status_code == 401
    assert served.worker.parts.counters.publications == 0


# Presence, and pages of the list


async def test_presence_and_its_numbers(served: InProcess, http: httpx.AsyncClient) -> None:
    known = ClientInfo("ann", f"{served.worker.me}.a", b'{"n":1}', b"[2]")
    for info in (known, ClientInfo("", f"{served.worker.me}.b")):
        await served.worker.parts.presence.enter("hall", info)

    members = (await http.get("/@channels/hall/presence")).json()["members"]
    assert members == [
        {
            "client": known.client,
            "user": "ann",
            "connectionInfo": {"n": 1},
            "channelInfo": [2],
        },
        {"client": f"{served.worker.me}.b"},
    ]
    assert (await http.get("/@channels/hall/presence_stats")).json() == {"clients": 2, "users": 2}


async def test_a_crowd_is_counted_and_not_listed(
    served: InProcess, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stats(channel: str) -> PresenceStats:
        return PresenceStats(MAX_MEMBERS + 1, 2)

    monkeypatch.setattr(served.worker.parts.presence_store, "stats", stats)
    answer = await http.get("/@channels/hall/presence")

    assert answer.status_code == 409
    assert answer.headers["x-amzn-ErrorType"] == "ConflictException"
    assert "more than 10000 clients are in channel hall" in answer.json()["message"]
    assert (await http.get("/@channels/hall/presence_stats")).json()["clients"] == MAX_MEMBERS + 1


async def test_the_list_has_pages_and_a_pattern(served: InProcess, http: httpx.AsyncClient) -> None:
    async with raw_websocket(served.port):
        for n in range(5):
            await served.gateway.subscribe(last_connection(served), f"room:a b{n}")
        await served.gateway.subscribe(last_connection(served), "hall")

        names: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            answer = await http.get("/@channels", params={"limit": "2", "pattern": "r*", **cursor})
            page = answer.json()
            names += [each["channel"] for each in page["channels"]]
            if "cursor" not in page:
                break
            cursor = {"cursor": page["cursor"]}

    assert names == [f"room:a b{n}" for n in range(5)]


async def test_subscriptions_that_are_refused(served: InProcess, http: httpx.AsyncClient) -> None:
    async with raw_websocket(served.port):
        mine = f"/@connections/{last_connection(served)}/channels/"
        gone = await http.put(
            f"/@connections/{new_connection_id(served.worker.me)}/channels/room:1"
        )
        assert error(gone) == (410, "GoneException")
        assert gone.json()["receipt"] == "gone"
        assert error(await http.put(mine)) == (404, "NotFoundException")
        assert error(await http.put(mine + "none:1")) == (404, "NotFoundException")
        assert error(await http.put(mine + "x" * 256)) == (400, "BadRequestException")
        for n in range(128):
            await served.gateway.subscribe(last_connection(served), f"room:{n}")
        assert error(await http.put(mine + "room:128")) == (429, "LimitExceededException")
