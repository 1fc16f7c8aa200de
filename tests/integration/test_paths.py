"""Every path: which Host it is there for, and what is said where nothing is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from tests.integration.conftest import MakeSettings
from tests.integration.test_http_api import KEY, open_to_backends, path_of
from tests.integration.test_mounted import echoing, stock_server
from tests.support.inprocess import InProcess, in_process
from tests.support.logs import capture_logs
from tests.support.rawclient import handshake, raw_client, raw_websocket
from tests.support.waiting import eventually

PATHS = [
    "/", "/page.js", "/metrics", "/communicate", "/@openapi.json", "/@connections", "/@users/ali",
    "/@workers", "/nowhere",
]  # fmt: skip


@pytest.fixture
async def served(settings: MakeSettings) -> AsyncIterator[InProcess]:
    own = open_to_backends(settings, allowed_hosts=("chat.example",))
    async with in_process(own) as server:
        yield server


async def status(served: InProcess, path: str, *lines: str) -> int:
    async with raw_client(served.port) as client:
        client.send("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
        return (await client.response()).status


async def test_no_path_is_there_for_another_host(served: InProcess) -> None:
    """Red while only the page and the handshake looked at the Host header."""
    evil = {path: await status(served, path, "Host: evil.example") for path in PATHS}
    own = {path: await status(served, path, "Host: chat.example:8000") for path in PATHS}

    assert evil == dict.fromkeys(PATHS, 403)
    assert 403 not in [own[path] for path in ("/", "/metrics", "/@openapi.json", "/nowhere")]


@pytest.mark.parametrize("lines", [(), ("Host: chat.example", "Host: chat.example")])
async def test_a_request_has_one_host(served: InProcess, lines: tuple[str, ...]) -> None:
    assert {path: await status(served, path, *lines) for path in PATHS} == dict.fromkeys(PATHS, 400)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_probe_may_ask_by_address(served: InProcess, path: str) -> None:
    assert await status(served, path, f"Host: 127.0.0.1:{served.port}") == 200
    assert await status(served, path, "Host: evil.example") == 403


@pytest.mark.parametrize("path", ["/@users/livez", "/@connections/readyz", "/x/livez", "//livez"])
async def test_only_a_probe_may_ask_by_address(served: InProcess, path: str) -> None:
    """Red while the end of a path made it a probe: a name behind /@users/ may be any."""
    assert await status(served, path, f"Host: 127.0.0.1:{served.port}") == 403


@pytest.mark.parametrize("path", PATHS)
async def test_a_control_character_makes_it_another_path(served: InProcess, path: str) -> None:
    """Red while Starlette's routes ended before a line break, behind which no proxy looks."""
    answers = [await status(served, path + end, "Host: chat.example") for end in ("%0a", "%00")]

    assert 404 not in answers if path == "/@users/ali" else answers == [404, 404]


async def test_a_request_for_the_socket_that_wants_no_socket_is_told_so(served: InProcess) -> None:
    async with raw_client(served.port) as client:
        client.send(b"GET /communicate HTTP/1.1\r\nHost: chat.example\r\n\r\n")
        answer = await client.response()

    assert answer.status == 426
    assert answer.headers["upgrade"] == "websocket"
    assert "WebSocket client" in answer.body


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/communicate/", "leave out the slash at its end, or try / (the page) or /communicate"),
        ("/comunicate", "try / (the page) or /communicate (the socket)"),
        ("/", "/communicate (the socket)"),
    ],
)
async def test_a_handshake_at_a_wrong_path_is_told_the_right_one(
    served: InProcess, path: str, says: str
) -> None:
    answer = await handshake(served.port, path, Host="chat.example")

    assert answer.status == 404
    assert says in answer.body


async def test_a_path_that_is_not_there_has_a_text(served: InProcess) -> None:
    async with raw_client(served.port) as client:
        client.send(b"GET /livez/ HTTP/1.1\r\nHost: chat.example\r\n\r\n")
        answer = await client.response()

    assert answer.status == 404
    assert "leave out the slash" in answer.body


async def test_the_page_can_be_switched_off(settings: MakeSettings) -> None:
    async with in_process(settings(page=False)) as served, raw_websocket(served.port) as client:
        statuses = [await status(served, path, "Host: a") for path in ("/", "/page.js", "/livez")]
        client.say("hello")

        assert statuses == [404, 404, 200]
        assert await client.texts(1) == ["Received:hello"]


# Mounted


@pytest.mark.filterwarnings("ignore:The `root_path` parameter")
@pytest.mark.parametrize("prefix", ["", "/api"], ids=["stripped", "kept"])
async def test_it_works_in_an_application_that_has_a_root_path(
    settings: MakeSettings, prefix: str
) -> None:
    """Red with a proxy that strips the prefix: FastAPI says where it is mounted, and not in the
    path, so that nothing that is mounted in it found its routes, and a handshake got an empty 403.
    """
    gateway = echoing(settings)
    host = FastAPI(root_path="/api", lifespan=gateway.lifespan)
    host.mount("/ws", gateway.asgi())
    async with stock_server(host) as (port, _):
        await eventually(lambda: gateway.worker.ready, "readiness")
        async with raw_websocket(port, f"{prefix}/ws/communicate") as client:
            client.say("hello")
            assert await client.texts(1) == ["hello"]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            pages = [f"{prefix}/ws/", f"{prefix}/ws/readyz", f"{prefix}/ws/page.js"]
            assert [(await http.get(page)).status_code for page in pages] == [200] * 3
            wrong = await http.get(f"{prefix}/ws/nothing")
            assert (wrong.status_code, "/api/ws/communicate" in wrong.text) == (404, True)


# The connection API


@pytest.mark.parametrize(
    ("user", "written"),
    [
        ("a/b", "a%2Fb"),
        ("a/b/", "a%2fb%2F"),
        ("..", "%2E%2E"),
        (".", "%2e"),
        ("../@connections", "%2E%2E%2F@connections"),
        ("\N{GRINNING FACE}", "%F0%9F%98%80"),
        ("100%", "100%25"),
        ("?#", "%3F%23"),
    ],
)
async def test_a_name_of_any_characters_reaches_its_user(
    settings: MakeSettings, user: str, written: str
) -> None:
    """Red while the path was read decoded: dots in a name looked like steps in a path."""
    gateway = echoing(settings)

    @gateway.on_connect
    async def who(connection: object) -> str:
        return user

    own = open_to_backends(settings)
    async with in_process(own, gateway) as served, raw_websocket(served.port) as client:
        await eventually(lambda: not served.worker.parts.cluster.registration.writing, "the entry")
        async with raw_client(served.port) as backend:
            lines = [
                f"POST /@users/{written} HTTP/1.1", "Host: a", f"X-API-Key: {KEY}",
                "Content-Length: 5", "", "hello",
            ]  # fmt: skip
            backend.send("\r\n".join(lines).encode())
            answer = await backend.response()

        assert answer.status == 200
        assert '"written":1' in answer.body.replace(" ", "")
        assert await client.texts(1) == ["hello"]


@pytest.mark.parametrize(
    ("path", "expected", "says"),
    [
        ("/@connections/{id}/", 404, "leave out the slash"),
        ("/@users/ali/", 404, "leave out the slash"),
        ("/@users/..", 410, ""),
        ("/@connections/{id}/x", 410, ""),
        ("/@connections/%FF", 410, ""),
    ],
)
async def test_a_path_that_names_nothing_says_why(
    settings: MakeSettings, path: str, expected: int, says: str
) -> None:
    """Red for the first: the id of a living connection with a slash behind it was GONE."""
    async with in_process(open_to_backends(settings)) as served, raw_websocket(served.port):
        connection = path_of(served).removeprefix("/@connections/")
        async with raw_client(served.port) as backend:
            where = path.replace("{id}", connection)
            head = f"GET {where} HTTP/1.1\r\nHost: a\r\nX-API-Key: {KEY}\r\n\r\n"
            backend.send(head.encode())
            answer = await backend.response()

    assert answer.status == expected
    assert says in answer.body


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /@users/x HTTP/1.1\r\nHost: a\r\nX-API-Key: KEY\r\nContent-Length: 9\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf",
        b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo",
    ],
    ids=["a call", "a page", "an answer unread", "a head"],
)
async def test_a_client_that_leaves_midway_is_no_error(settings: MakeSettings, sent: bytes) -> None:
    async with in_process(open_to_backends(settings)) as served:
        with capture_logs() as logs:
            for _ in range(5):
                async with raw_client(served.port) as client:
                    client.send(sent.replace(b"KEY", KEY.encode()))
            assert await status(served, "/livez", "Host: a") == 200

    assert [line for line in logs if line["log_level"] in ("error", "critical")] == []
