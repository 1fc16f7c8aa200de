"""A gateway inside of another application, in the process of the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from gateway import Gateway
from tests.support.waiting import eventually


class StockProtocol(WebSocketsSansIOProtocol):
    """uvicorn's own. It cannot be shut down in the middle of a closing handshake: it raises."""

    def shutdown(self) -> None:
        with suppress(InvalidState):
            super().shutdown()
        self.transport.close()


@asynccontextmanager
async def mounted(
    gateway: Gateway, *, prefix: str = "", port: int = 0, **config: Any
) -> AsyncIterator[int]:
    """Serve it under ``prefix`` with plain uvicorn, on a free port unless one is given.

    Args:
        config: Uvicorn's.

    Yields:
        The port.
    """
    app = Starlette(routes=[Mount(prefix or "/", gateway.asgi())], lifespan=gateway.lifespan)
    async with served_app(app, port=port, **config) as serving:
        yield serving


@asynccontextmanager
async def served_app(app: Starlette, *, port: int = 0, **config: Any) -> AsyncIterator[int]:
    """Serve an application with plain uvicorn. Yields the port."""
    server = uvicorn.Server(
        uvicorn.Config(app, ws=StockProtocol, log_config=None, lifespan="on", **config)
    )
    with socket.create_server(("127.0.0.1", port)) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            await eventually(lambda: server.started or serving.done(), "the start of a server", 30)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await serving
