"""A connection carries whatever is spoken on it: here, commands in JSON, several in one message."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from gateway.app import Gateway
from gateway.edge.sessions.base import OpenConnection, Session
from gateway.errors import HandlerFailed
from gateway.messaging.hub import Done
from gateway.protocol.ids import WorkerId
from gateway.protocol.receipt import Receipt
from tests.integration.conftest import MakeSettings
from tests.support.inprocess import in_process
from tests.support.rawclient import RawClient, close_frame, raw_websocket
from tests.support.waiting import eventually

BAD_REQUEST = (3501, "bad request")
FAREWELL = (1000, "commands end")


class Commands:
    """One line a command, ``{"id", "do"}``; one message a reply, ``{"id", "done" | "error"}``.

    It keeps which commands are unanswered, and its connection for as long as that is open.
    """

    name = "commands"
    farewell = FAREWELL
    pings = True
    early = None
    full = False
    idle = True
    received = None

    def messages_in(self, text: str) -> int:
        return len(text.splitlines())

    def __init__(self) -> None:
        self.connection: OpenConnection | None = None
        self.ended: tuple[int, str] | None = None
        self._ids: deque[int] = deque()

    def on_text(self, connection: OpenConnection, text: str, size_bytes: int) -> None:
        try:
            commands = [json.loads(line) for line in text.splitlines()]
        except ValueError:
            connection.close(*BAD_REQUEST)
            return
        at_once = []
        for command in commands:
            if command["do"] == "time":
                at_once.append(_line(id=command["id"], done="now"))
            else:
                self._ids.append(command["id"])
                connection.dispatch(command["do"], len(command["do"]))
        if at_once:
            connection.send(b"\n".join(at_once))

    def go_on(self) -> None: ...

    def on_binary(self, connection: OpenConnection) -> None:
        connection.close(*BAD_REQUEST)

    def on_close(self, code: int, reason: str) -> None:
        self.connection, self.ended = None, (code, reason)

    def subscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:
        done(Receipt.GONE)

    def unsubscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:
        done(Receipt.GONE)

    def greeting(self, connection: OpenConnection) -> bytes | None:
        self.connection = connection
        return _line(welcome=connection.id)

    def reply(
        self,
        text: str | None,
        *,
        handled_by: WorkerId,
        attempt: int,
    ) -> bytes | None:
        return _line(id=self._ids.popleft(), done=text)

    def failed(self, error: HandlerFailed) -> bytes | None:
        return _line(id=self._ids.popleft(), error=error.reason)

    def push(self, text: str) -> bytes:
        return _line(push=text)

    def goodbye(self, code: int, reason: str) -> bytes | None:
        return _line(disconnect={"code": code, "reason": reason})


def _line(**members: object) -> bytes:
    return json.dumps(members).encode()


def commanded() -> Gateway:
    gateway = Gateway()

    @gateway.on_message
    async def handle(message: Any) -> str | None:
        if message.text == "break":
            raise ValueError
        return None if message.text == "nothing" else f"did {message.text}"

    return gateway


class Spoken:
    """Speaks ``Commands`` with everybody, and keeps the sessions."""

    def __init__(self) -> None:
        self.sessions: list[Commands] = []

    def __call__(self, scope: Mapping[str, Any]) -> tuple[Session, str | None]:
        self.sessions.append(Commands())
        return self.sessions[-1], None


def command(number: int, do: str) -> str:
    return json.dumps({"id": number, "do": do})


async def told(client: RawClient, count: int) -> list[Any]:
    return [json.loads(text) for text in await client.texts(count)]


async def test_two_commands_in_one_message_have_an_answer_each(settings: MakeSettings) -> None:
    async with in_process(settings(), commanded()) as served:
        served.worker.parts.endpoint._negotiate = Spoken()
        async with raw_websocket(served.port) as client:
            [connection] = [member.id for member in served.worker.parts.hub]
            client.say(command(1, "one") + "\n" + command(2, "break"), command(3, "nothing"))

            assert await told(client, 4) == [
                {"welcome": connection},
                {"id": 1, "done": "did one"},
                {"id": 2, "error": "handler failed"},
                {"id": 3, "done": None},
            ]


async def test_what_the_session_answers_itself_reaches_no_handler(settings: MakeSettings) -> None:
    async with in_process(settings(), commanded()) as served:
        served.worker.parts.endpoint._negotiate = Spoken()
        async with raw_websocket(served.port) as client:
            await client.texts(1)
            client.say(command(1, "time") + "\n" + command(2, "time"))
            [both] = await client.texts(1)

            assert [json.loads(line)["id"] for line in both.splitlines()] == [1, 2]
            assert served.worker.parts.dispatcher.unanswered == 0


async def test_a_session_has_its_own_pushes_and_goodbye(settings: MakeSettings) -> None:
    gateway = commanded()
    async with in_process(settings(), gateway) as served:
        served.worker.parts.endpoint._negotiate = spoken = Spoken()
        async with raw_websocket(served.port) as client:
            await client.texts(1)
            [connection] = [member.id for member in served.worker.parts.hub]
            await gateway.send(connection, "news")
            await gateway.disconnect(connection, 3500, "go")

            assert await told(client, 2) == [
                {"push": "news"},
                {"disconnect": {"code": 3500, "reason": "go"}},
            ]
            assert (await client.receive()).closing == (3500, "go")
            client.send(close_frame(3500))
        await eventually(lambda: spoken.sessions[0].ended, "the end")

    assert spoken.sessions[0].ended == (3500, "go")


async def test_a_session_closes_with_a_code_of_its_own(settings: MakeSettings) -> None:
    async with in_process(settings(), commanded()) as served:
        served.worker.parts.endpoint._negotiate = Spoken()
        async with raw_websocket(served.port) as client:
            client.say("no command")

            assert (await client.rest())[-1].closing == BAD_REQUEST


async def test_a_session_answers_the_clients_close(settings: MakeSettings) -> None:
    async with in_process(settings(), commanded()) as served:
        served.worker.parts.endpoint._negotiate = spoken = Spoken()
        async with raw_websocket(served.port) as client:
            await client.texts(1)
            client.send(close_frame(4000, "bye"))

            assert (await client.rest())[-1].closing == FAREWELL
        await eventually(lambda: spoken.sessions[0].ended, "the end")

    assert spoken.sessions[0].ended == (4000, "bye")
    assert spoken.sessions[0].connection is None
