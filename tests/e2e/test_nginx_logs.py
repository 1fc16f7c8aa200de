"""What the shipped nginx writes down, and that no token is in it."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.support.nginx import Nginx, get
from tests.support.serve import Served
from tests.support.trace_client import trace_client
from tests.support.waiting import blocking_eventually, eventually

AT_ONCE_S = 15.0
HANDSHAKE = (
    b"GET /communicate?token=opensesame HTTP/1.1\r\nHost: chat.example\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Referer: http://chat.example/?token=opensesame\r\n\r\n"
)


async def test_query_strings_are_in_no_log(front: Nginx) -> None:
    async with connect(front.ws_url + "?token=opensesame", proxy=None):
        pass
    await eventually(lambda: '"path":"/communicate"' in front.access_log, "a line in the log")

    assert "opensesame" not in front.access_log + front.error_log


@pytest.mark.parametrize(
    "path", ["/communicate%3Ftoken=opensesame", "/communicate;token=opensesame"]
)
def test_what_looks_like_a_query_string_is_in_no_log_either(front: Nginx, path: str) -> None:
    """A ``?`` that came encoded is a part of the path, and was logged as one."""
    before = front.access_log.count("\n")
    get(front, path)
    blocking_eventually(lambda: front.access_log.count("\n") > before, "a line in the log")

    assert "opensesame" not in front.access_log + front.error_log


def test_query_strings_are_in_no_log_when_nginx_runs_out(
    gateways: list[Served], tmp_path: Path
) -> None:
    """At ``alert`` nginx repeated the request line: 'worker_connections are not enough'."""
    ports = [served.port for served in gateways]
    with ExitStack() as stack:
        nginx = stack.enter_context(Nginx(tmp_path / "nginx", ports, most_connections=9))
        for _ in range(24):
            client = stack.enter_context(
                socket.create_connection(("127.0.0.1", nginx.port), timeout=AT_ONCE_S)
            )
            client.sendall(HANDSHAKE)
        # Some came to nothing, and are logged; those that are open are not yet.
        blocking_eventually(lambda: nginx.access_log != "", "a line of one that came to nothing")

        assert "opensesame" not in nginx.access_log + nginx.error_log


async def test_a_line_of_the_access_log_names_the_connection(front: Nginx) -> None:
    async with trace_client(front.ws_url) as client:
        connection = client.connection
    await eventually(lambda: connection in front.access_log, "the end of the connection")

    [line] = [json.loads(found) for found in front.access_log.splitlines() if connection in found]
    assert (line["connection_id"], line["path"]) == (connection, "/communicate")


def test_every_line_of_the_access_log_is_json(front: Nginx) -> None:
    get(front, '/"quoted"%0a')
    blocking_eventually(lambda: "quoted" in front.access_log, "a line in the log")

    lines = [json.loads(line) for line in front.access_log.splitlines()]
    assert any("quoted" in line["path"] and line["status"] == 404 for line in lines)


async def test_query_strings_are_in_no_log_when_something_fails(deserted: Nginx) -> None:
    with pytest.raises(InvalidStatus):
        await connect(deserted.ws_url + "?token=opensesame", proxy=None)
    await eventually(lambda: '"path":"/communicate"' in deserted.access_log, "a line in the log")

    assert "opensesame" not in deserted.access_log + deserted.error_log
