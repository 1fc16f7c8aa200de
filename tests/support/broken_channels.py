"""A server of channels, right or wrong: ``python -m … KIND``. Prints its port.

It speaks as much of the Centrifuge protocol as the load test does, and keeps all publications.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections import defaultdict
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

EVERY: Final = 7
EPOCH: Final = "abcdefgh"
DROPS_AFTER_S: Final = 3.0


class Server:
    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._streams: dict[str, list[Any]] = defaultdict(list)
        self._members: dict[str, dict[ServerConnection, None]] = defaultdict(dict)
        self._held: dict[str, list[Any]] = {}
        self._turns = 0
        self._began = 0.0

    async def serve(self) -> None:
        async with serve(
            self._talk, "127.0.0.1", 0, process_request=_only_sockets, compression=None
        ) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await server.serve_forever()

    async def _talk(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for frame in socket:
                for line in str(frame).split("\n"):
                    await self._do(socket, json.loads(line))
        for members in self._members.values():
            members.pop(socket, None)

    async def _do(self, socket: ServerConnection, command: dict[str, Any]) -> None:
        number = command.pop("id", 0)
        for name, asked in command.items():
            result, pushes = self._answer(socket, name, asked)
            await socket.send(json.dumps({"id": number, name: result}))
            for member, push in pushes:
                with contextlib.suppress(ConnectionClosed):
                    await member.send(json.dumps({"push": push}))

    def _answer(self, socket: ServerConnection, name: str, asked: Any) -> tuple[Any, list[Any]]:
        channel = asked.get("channel", "")
        stream = self._streams[channel]
        match name:
            case "subscribe":
                self._members[channel][socket] = None
                return self._subscribed(stream, asked), []
            case "history":
                return {"publications": [], "epoch": EPOCH, "offset": len(stream)}, []
            case "publish":
                return {}, self._publish(channel, asked["data"])
            case _:
                return {"client": "somebody", "version": "1"}, []

    def _subscribed(self, stream: list[Any], asked: Any) -> dict[str, Any]:
        found: dict[str, Any] = {"epoch": EPOCH, "recoverable": True, "positioned": True}
        if not asked.get("recover"):
            return found | {"offset": len(stream)}
        since = asked.get("offset", 0)
        found["was_recovering"] = True
        if self._kind == "forgets":
            return found | {"offset": len(stream), "recovered": False}
        first = since + 1 if self._kind == "invents" else since
        pubs = [{"data": stream[at], "offset": at + 1} for at in range(first, len(stream))]
        return found | {"offset": since, "recovered": True, "publications": pubs}

    def _publish(self, channel: str, text: Any) -> list[Any]:
        """Store it, and say who is told. Every so often that goes wrong."""
        stream = self._streams[channel]
        self._turns += 1
        wrong = self._turns % EVERY == 0
        if not (wrong and self._kind == "keeps nothing"):
            stream.append(text)
        self._drop_some()
        one = self._pushes(channel, len(stream), text)
        if wrong:
            return self._wrong(channel, one)
        return [*one, *self._held.pop(channel, [])]

    def _wrong(self, channel: str, one: list[Any]) -> list[Any]:
        if self._kind == "reorders":
            self._held[channel] = one
        if self._kind in {"reorders", "keeps nothing"}:
            return []
        if self._kind == "loses":
            return one[1:]
        if self._kind == "doubles":
            return one + one[:1]
        others = next((m for c, m in self._members.items() if c != channel and m), {})
        if self._kind == "misroutes" and one:
            return [*one, (next(iter(others)), one[0][1])]
        return one

    def _pushes(self, channel: str, offset: int, text: Any) -> list[Any]:
        push = {"channel": channel, "pub": {"data": text, "offset": offset}}
        return [(member, push) for member in self._members[channel]]

    def _drop_some(self) -> None:
        """Once: those of one channel."""
        if self._kind not in {"forgets", "invents"}:
            return
        now_s = time.monotonic()
        self._began = self._began or now_s
        if now_s - self._began < DROPS_AFTER_S:
            return
        self._began = float("inf")
        members = next(iter(self._members.values()))
        for member in list(members):
            member.transport.abort()
        members.clear()


def _only_sockets(socket: ServerConnection, request: Request) -> Response | None:
    if "Upgrade" in request.headers:
        return None
    return socket.respond(HTTPStatus.NOT_FOUND, "")


if __name__ == "__main__":
    asyncio.run(Server(sys.argv[1]).serve())
