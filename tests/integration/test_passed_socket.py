"""``gateway serve`` on a socket that a service manager opened, and keeps when nobody serves it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from tests.support.rawclient import handshake
from tests.support.serve import START_S, Served


async def test_who_comes_while_nobody_serves_waits_in_the_socket(tmp_path: Path) -> None:
    """Red without ``passed_socket``: gunicorn takes it, and the log names a port of nobody's."""
    with socket.create_server(("127.0.0.1", 0)) as manager:
        port = manager.getsockname()[1]
        early = asyncio.create_task(handshake(port))
        await asyncio.sleep(0)
        with Served(tmp_path, passed=manager) as served:
            assert served.port == port
            assert (await asyncio.wait_for(early, START_S)).status == 101
            assert served.stop() == 0
        socket.create_connection(("127.0.0.1", port), timeout=1).close()  # it waits for the next
