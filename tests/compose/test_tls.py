"""docker-compose.yml with deploy/compose/tls.yml beside it."""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path

from websockets.asyncio.client import connect
from websockets.typing import Origin

from tests.support.centrifuge_client import PATH
from tests.support.compose import ComposeStack
from tests.support.nginx import self_signed
from tests.support.ports import free_port
from tests.support.trace_client import trace_client


async def test_sockets_work_through_tls(image: str, tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path / "certificates")
    port, plain = str(free_port()), str(free_port())
    with ComposeStack(
        image,
        override="deploy/compose/tls.yml",
        CERTIFICATES=str(certificate.parent),
        HTTPS_PORT=port,
        HTTP_PORT=plain,
    ) as stack:
        stack.up()
        url = f"https://127.0.0.1:{port}"
        trust = ssl.create_default_context(cafile=certificate)
        socket_url = url.replace("https", "wss") + "/communicate"
        async with trace_client(socket_url, ssl=trust, origin=url) as client:
            assert (await client.ask("hello")).text == "Received:hello"
        room_url = url.replace("https", "wss") + PATH
        async with connect(room_url, ssl=trust, origin=Origin(url), proxy=None) as socket:
            await socket.send('{"id": 1, "connect": {}}')
            assert json.loads(await socket.recv())["connect"]["client"]
        assert redirected(plain) == f"https://127.0.0.1:{port}/a?b=c"


def redirected(port: str) -> str | None:
    """Where whoever comes without TLS is sent to."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=5)
    try:
        connection.request("GET", "/a?b=c")
        return connection.getresponse().headers["Location"]
    finally:
        connection.close()
