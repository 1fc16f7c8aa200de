"""What an application sees of a client that does not wait for it."""

from __future__ import annotations

import asyncio
from typing import Any, cast
from unittest.mock import Mock

from gateway.edge.sockets.asgi_bridge import AsgiBridge, Wire


async def test_no_application_is_begun_for_a_client_that_has_gone() -> None:
    begun = list[Any]()

    async def application(scope: Any, _receive: Any, _send: Any) -> None:
        begun.append(scope)

    tasks = set[asyncio.Task[None]]()
    side = AsgiBridge(cast(Wire, Mock()), {}, cast(Any, None), [])
    side.disconnected(1006, "")

    side.start(application, tasks)
    await asyncio.sleep(0)

    assert not tasks
    assert not begun
