"""A server of the Centrifuge protocol that says what a test tells it to, beside the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Mount, Router, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway import Gateway
from tests.support.mounted import served_app

WITHIN_S = 10.0
EPOCH = "epochone"

Json = dict[str, Any]


class Client:
    """One socket of a client, and the commands that have come on it."""

    def __init__(self, socket: WebSocket, number: int) -> None:
        self.id = f"{'ab'[number % 2] * 16}.{number:04d}{'x' * 18}"
        self.socket = socket
        self.received: asyncio.Queue[Json] = asyncio.Queue()
        self.pongs = 0
        self._ended = asyncio.Event()

    async def read(self) -> None:
        """Take what comes, until the socket is closed."""
        with suppress(WebSocketDisconnect):
            while True:
                for line in (await self.socket.receive_text()).split("\n"):
                    command = json.loads(line)
                    if command:
                        self.received.put_nowait(command)
                    else:
                        self.pongs += 1
        self._ended.set()

    async def command(self, name: str) -> Json:
        """The next command, which must be this one: its request, with its ``id``."""
        async with asyncio.timeout(WITHIN_S):
            command = await self.received.get()
        assert name in command, f"{command} instead of {name}"
        return {"id": command.get("id"), **command[name]}

    async def send(self, *messages: Json) -> None:
        """Messages in one frame."""
        await self.socket.send_text("\n".join(json.dumps(message) for message in messages))

    async def push(self, channel: str = "room:lobby", **push: Any) -> None:
        await self.send({"push": {"channel": channel, **push}})

    async def connected(self, **result: Any) -> Json:
        """Answer the connect command."""
        request = await self.command("connect")
        await self.send(
            {"id": request["id"], "connect": {"client": self.id, "version": "1", **result}}
        )
        return request

    async def subscribed(self, *behind: Json, **result: Any) -> Json:
        """Answer a subscribe command; ``behind``: more messages of the same frame."""
        request = await self.command("subscribe")
        position = {"recoverable": True, "positioned": True, "epoch": EPOCH}
        await self.send({"id": request["id"], "subscribe": {**position, **result}}, *behind)
        return request

    async def refused(self, name: str, code: int, message: str, *, temporary: bool = False) -> None:
        """Answer a command with an error."""
        request = await self.command(name)
        error = {"code": code, "message": message, **({"temporary": True} if temporary else {})}
        await self.send({"id": request["id"], "error": error})

    async def present(self, *others: str) -> None:
        """Answer a presence command: this client and others."""
        request = await self.command("presence")
        clients = {client: {"client": client, "user": ""} for client in (self.id, *others)}
        await self.send({"id": request["id"], "presence": {"presence": clients}})

    async def history(self, *publications: Json) -> Json:
        """Answer a history command."""
        request = await self.command("history")
        result = {"publications": list(publications), "epoch": EPOCH, "offset": 0}
        await self.send({"id": request["id"], "history": result})
        return request

    async def ended(self) -> None:
        """Wait until the socket is closed."""
        async with asyncio.timeout(WITHIN_S):
            await self._ended.wait()

    async def close(self, code: int, reason: str) -> None:
        await self.socket.close(code, reason)


def said(text: str, offset: int = 0, *, client: str = "c" * 16 + ".3f9a", name: str = "") -> Json:
    """A publication."""
    words = {"text": text, **({"name": name} if name else {})}
    return {"data": words, "offset": offset, "info": {"client": client, "user": ""}}


class ScriptedRooms:
    def __init__(self) -> None:
        self.port = 0
        self._clients: asyncio.Queue[Client] = asyncio.Queue()
        self._count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def client(self) -> Client:
        """The next socket."""
        async with asyncio.timeout(WITHIN_S):
            return await self._clients.get()

    async def entering(self, *, offset: int = 0, **result: Any) -> Client:
        """The next socket, connected, subscribed and told who is here; its history is not read."""
        client = await self.client()
        await client.connected(**result)
        await client.subscribed(offset=offset)
        await client.present()
        return client

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        self._count += 1
        client = Client(socket, self._count)
        self._clients.put_nowait(client)
        await client.read()


@asynccontextmanager
async def scripted_rooms(prefix: str = "", **config: Any) -> AsyncIterator[ScriptedRooms]:
    """The page of a gateway, and rooms as the test tells them. ``config``: uvicorn's."""
    rooms = ScriptedRooms()
    route = WebSocketRoute(f"{prefix}/connection/websocket", rooms.serve)
    async with _beside_a_page(route, prefix, **config) as rooms.port:
        yield rooms


@asynccontextmanager
async def no_rooms() -> AsyncIterator[str]:
    """The page of a gateway that has none, not even the endpoint: its address."""
    async with _beside_a_page(Mount("/connection", Router())) as port:
        yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def _beside_a_page(route: BaseRoute, prefix: str = "", **config: Any) -> AsyncIterator[int]:
    gateway = Gateway()
    routes = [route, Mount(prefix or "/", gateway.asgi())]
    app = Starlette(routes=routes, lifespan=gateway.lifespan)
    async with served_app(app, **config) as port:
        yield port
