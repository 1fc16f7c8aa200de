"""A session that asks hooks what its client says, and a client that says it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from gateway.close_codes import Close
from gateway.edge.refusal import Refusal
from gateway.edge.sessions.base import OpenConnection, Session
from gateway.errors import HandlerFailed
from gateway.messaging.hub import Done
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest
from gateway.protocol.ids import WorkerId
from gateway.protocol.receipt import Receipt
from tests.support.inprocess import InProcess
from tests.support.rawclient import RawClient, raw_websocket


class Asking:
    """One line a command. ``{"id", "ask": kind, "name", "data"}`` asks a hook, if there is one for
    that; ``{"say"}`` is a message; ``{"leave"}`` ends a subscription. One message a reply.
    """

    name = "asking"
    farewell = (1000, "asked enough")
    pings = True
    early = None
    full = False
    idle = True
    received = None

    def __init__(self) -> None:
        self.channels: list[str] = []
        self.connection: OpenConnection | None = None

    def messages_in(self, text: str) -> int:
        return 1

    def on_text(self, connection: OpenConnection, text: str, size_bytes: int) -> None:
        for line in text.splitlines():
            self._take(connection, json.loads(line), line)

    def _take(self, connection: OpenConnection, command: dict[str, Any], line: str) -> None:
        if "say" in command:
            connection.dispatch(command["say"], len(line))
            return
        if "leave" in command:
            self.channels.remove(command["leave"])
            connection.hooks.tell_unsubscribed(command["leave"], 0, "")
            return
        number, kind, name = command["id"], HookKind(command["ask"]), command["name"]
        if not (hooked := connection.hooks.there(kind, name)):
            connection.send(_line(id=number, hook=hooked))
            return

        def done(outcome: HookOutcome) -> None:
            match outcome:
                case Error(code, message, temporary):
                    connection.send(_line(id=number, error=[code, message, temporary]))
                case Close():
                    connection.close(*outcome)
                case _:
                    if kind is HookKind.SUBSCRIBE:
                        self.channels.append(name)
                    connection.send(_line(id=number, result=[_text(each) for each in outcome]))

        connection.hooks.ask(
            HookRequest(
                kind,
                name,
                command.get("data", "").encode(),
                command.get("claims", "").encode(),
                command.get("info", "").encode(),
            ),
            done,
        )

    def go_on(self) -> None: ...

    def on_binary(self, connection: OpenConnection) -> None:
        connection.close(3501, "bad request")

    def on_close(self, code: int, reason: str) -> None:
        if self.connection is not None:
            for channel in self.channels:
                self.connection.hooks.tell_unsubscribed(channel, code, reason)
        self.connection = None

    def greeting(self, connection: OpenConnection) -> bytes | None:
        self.connection = connection
        return None

    def reply(self, text: str | None, *, handled_by: WorkerId, attempt: int) -> bytes | None:
        return None if text is None else _line(said=text)

    def failed(self, error: HandlerFailed) -> bytes | None:
        return _line(failed=error.reason)

    def subscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:
        done(Receipt.GONE)

    def unsubscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:
        done(Receipt.GONE)

    def push(self, text: str) -> bytes:
        return _line(push=text)

    def goodbye(self, code: int, reason: str) -> bytes | None:
        return None


def _line(**members: object) -> bytes:
    return json.dumps(members).encode()


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value


def _negotiate(scope: Mapping[str, Any]) -> tuple[Session, str | None] | Refusal:
    return Asking(), None


class Asker:
    """Speaks with ``Asking``."""

    def __init__(self, client: RawClient) -> None:
        self.client = client
        self._number = 0

    def say(self, text: str) -> None:
        self.client.say(json.dumps({"say": text}))

    def leave(self, channel: str) -> None:
        self.client.say(json.dumps({"leave": channel}))

    def ask(self, kind: str, name: str, data: object = None, **more: str) -> None:
        """``data``: a text is JSON as it is."""
        self._number += 1
        written = data if isinstance(data, str) else json.dumps(data)
        given = {} if data is None else {"data": written}
        self.client.say(json.dumps({"id": self._number, "ask": kind, "name": name} | given | more))

    async def told(self) -> Any:
        [text] = await self.client.texts(1)
        return json.loads(text)

    async def answer(self, kind: str, name: str, data: object = None, **more: str) -> Any:
        """Of what it is told, what is not its number."""
        self.ask(kind, name, data, **more)
        told = await self.told()
        assert told.pop("id") == self._number
        [answer] = told.values()
        return answer


@asynccontextmanager
async def asker(served: InProcess) -> AsyncIterator[Asker]:
    served.worker.parts.endpoint._negotiate = _negotiate
    async with raw_websocket(served.port) as client:
        yield Asker(client)
