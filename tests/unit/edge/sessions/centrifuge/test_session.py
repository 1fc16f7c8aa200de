"""What a client's session does with its connection, with what it asks, and with time."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.session import MAX_AT_ONCE, CentrifugeSession
from gateway.edge.sessions.centrifuge.session_context import SessionContext
from gateway.edge.sessions.centrifuge.subscription import Done
from gateway.edge.sockets.timer_wheel import TimerWheel
from gateway.errors import ConnectionEnding
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.commands import Connect, Publish, Request, Subscribe
from gateway.protocol.centrifuge.replies import ConnectResult, Empty, SubscribeResult
from gateway.protocol.centrifuge.steps import Ask
from gateway.protocol.envelopes.dispatching import Presented
from gateway.protocol.ids import WorkerId, connection_id
from gateway.protocol.run import Run
from tests.support.waiting import eventually
from tests.unit.edge.sessions.hookless import Hookless

CONNECTION = connection_id(WorkerId("a" * 16), bytes(16))
CHANNELS = 250


class Asked:
    """What clients ask for, answered when the test says so; some at once."""

    def __init__(self) -> None:
        self.available: frozenset[type[Request]] = frozenset({Subscribe, Publish})
        self.asked: list[tuple[int, Request]] = []
        self.at_once = False

    def ask(self, session: CentrifugeSession, ask: Ask) -> None:
        ticket, request = ask.ticket, ask.request
        self.asked.append((ticket, request))
        if isinstance(request, Connect):
            session.answer(ticket, ConnectResult())
        elif self.at_once:
            session.answer(ticket, SubscribeResult() if isinstance(request, Subscribe) else Empty())

    def subscribe(
        self, session: CentrifugeSession, connection: OpenConnection, channel: str, done: Done
    ) -> None:
        raise AssertionError(channel)


class Connected(Hookless):
    """A connection that writes down what its session does with it."""

    id = CONNECTION
    user = None
    address = "192.0.2.1"
    admitted = True

    def __init__(self, requests: Asked) -> None:
        self.now = 100.0
        self.sent: list[Any] = []
        self.closed: tuple[int, str] | None = None
        self.reading = True
        context = SessionContext(
            version="1", requests=requests, timers=TimerWheel(0.25), now=lambda: self.now
        )
        self.session = CentrifugeSession(context)
        assert self.session.greeting(self) is None
        self.say({"id": 1, "connect": {}})

    reading = True

    def identify(self, user: str | None, presented: Presented) -> None:
        """Requests do that."""

    def say(self, *commands: dict[str, Any]) -> None:
        text = "\n".join(map(json.dumps, commands))
        self.session.on_text(self, text, len(text))

    def progressed(self) -> None:
        self.session.go_on()
        self.reading = not self.session.full

    async def done(self) -> None:
        """Wait until the commands of its frame are taken, as many as may be."""
        await eventually(lambda: not self.session._rest, "the rest of the frame")

    def dispatch(self, text: str, size_bytes: int) -> None:
        raise AssertionError(text)

    def send(self, payload: bytes) -> None:
        self.sent += [json.loads(line) for line in payload.split(b"\n")]

    def send_run(self, run: Run) -> None:
        for message in run.messages:
            self.send(message)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.session.on_close(code, reason)

    def end_with(self, ending: ConnectionEnding) -> None:
        self.close(ending.close_code, ending.reason)


@pytest.fixture
def requests() -> Asked:
    return Asked()


@pytest.fixture
async def client(requests: Asked) -> Connected:
    connected = Connected(requests)
    connected.sent.clear()
    requests.asked.clear()
    return connected


def publish(number: int) -> dict[str, Any]:
    return {"id": number, "publish": {"channel": "a", "data": 1}}


async def test_each_answer_is_the_reply_to_its_command(client: Connected, requests: Asked) -> None:
    client.say(publish(7), publish(8))
    (first, _), (second, _) = requests.asked
    client.session.answer(second, codes.PERMISSION_DENIED)
    client.session.answer(first, Empty())

    assert client.sent == [
        {"id": 8, "error": {"code": 103, "message": "permission denied"}},
        {"id": 7, "publish": {}},
    ]


async def test_a_client_that_asks_too_much_is_not_read_until_it_is_answered(
    client: Connected, requests: Asked
) -> None:
    client.say(*map(publish, range(2, 258)))
    await client.done()
    assert not client.reading

    client.session.answer(requests.asked[0][0], Empty())
    assert client.reading


async def test_it_is_idle_once_everything_is_answered(client: Connected, requests: Asked) -> None:
    client.say(publish(2))
    assert not client.session.idle

    client.session.answer(requests.asked[0][0], Empty())
    assert client.session.idle


async def test_a_long_frame_that_is_answered_at_once_is_done_step_by_step(
    client: Connected, requests: Asked
) -> None:
    """One that waited for the one before it, and so on: red where each is done within the last."""
    requests.at_once = True
    commands = [
        {"id": number, ("subscribe" if number % 2 == 0 else "unsubscribe"): {"channel": "a"}}
        for number in range(2, 2 + CHANNELS)
    ]
    client.say(*commands)
    await client.done()

    assert [reply["id"] for reply in client.sent] == [command["id"] for command in commands]
    assert client.closed is None


async def test_a_long_frame_is_taken_in_turns_of_the_loop(
    client: Connected, requests: Asked
) -> None:
    """A frame of 64 KiB may be 5,000 commands: 50 clients held the loop for 7 s with those."""
    client.say(*map(publish, range(2, 2 + MAX_AT_ONCE + 1)))
    assert len(requests.asked) == MAX_AT_ONCE
    assert not client.reading
    assert not client.session.idle
    await client.done()

    assert len(requests.asked) == MAX_AT_ONCE + 1
    assert client.reading


async def test_no_more_of_a_frame_is_taken_than_may_be_in_flight(
    client: Connected, requests: Asked
) -> None:
    client.say(*map(publish, range(2, 402)))
    await eventually(lambda: len(requests.asked) == 256, "all that may be in flight")
    await asyncio.sleep(0)
    assert len(requests.asked) == 256
    for ticket, _ in list(requests.asked):
        client.session.answer(ticket, Empty())
    await client.done()

    assert len(requests.asked) == 400
    assert [reply["id"] for reply in client.sent] == list(range(2, 258))


async def test_the_rest_of_a_frame_ends_with_its_connection(
    client: Connected, requests: Asked
) -> None:
    client.say(*map(publish, range(2, 202)))
    client.close(4000, "enough")
    await asyncio.sleep(0)

    assert len(requests.asked) == MAX_AT_ONCE


async def test_after_the_end_answers_count_for_nothing(client: Connected, requests: Asked) -> None:
    client.say(publish(2))
    client.close(4000, "enough")
    client.session.answer(requests.asked[0][0], Empty())

    assert client.sent == []


async def test_nothing_is_done_after_a_close_in_the_same_frame(
    client: Connected, requests: Asked
) -> None:
    client.say(publish(2), {"id": 3, "connect": {}}, publish(4))

    assert client.closed == (3501, "bad request")
    assert [request for _, request in requests.asked if isinstance(request, Connect)] == []


async def test_a_pong_does_not_count_as_a_message(client: Connected) -> None:
    for end in ("", "\n"):  # which some clients write
        assert client.session.messages_in("{}" + end) == 0
        assert client.session.messages_in('{"id":1}\n{"id":2}' + end) == 2


async def test_it_is_taken_off_the_timer_when_it_ends(client: Connected) -> None:
    timers = client.session.context.timers
    assert len(timers) == 1

    client.close(4000, "enough")
    assert len(timers) == 0


async def test_a_ping_is_sent_when_it_is_due(client: Connected) -> None:
    client.now += 26
    timers = client.session.context.timers
    slot = client.session._slot
    timers.take(client.session, slot)
    client.session.due(slot)

    assert client.sent == [{}]
    assert len(timers) == 1
