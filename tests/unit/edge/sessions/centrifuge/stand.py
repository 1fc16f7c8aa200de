"""Clients of one worker, without sockets, on a broker and a presence store in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from gateway.channel_broker.memory import MemoryChannelBroker, MemoryChannelBus
from gateway.channels.channels import Channels
from gateway.channels.fan_out import FanOut
from gateway.channels.presence import ChannelPresence
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.channels.stored_presence import StoredPresence
from gateway.edge.sessions.centrifuge.authentication import Authentication
from gateway.edge.sessions.centrifuge.requests import ClientRequests
from gateway.edge.sessions.centrifuge.results import register_encoding
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.session_context import SessionContext
from gateway.edge.sessions.centrifuge.subscription import ChannelParts
from gateway.edge.sockets.timer_wheel import TimerWheel
from gateway.errors import ConnectionEnding
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.presence.memory import MemoryPresenceStore
from gateway.protocol.envelopes.dispatching import Presented
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest
from gateway.protocol.ids import ConnectionId, WorkerId, connection_id
from gateway.protocol.run import Run
from gateway.settings.namespaces import ChannelOptions, Namespaces
from gateway.settings.tokens import TokenOptions
from gateway.tokens.verifier import token_verifier
from tests.support.waiting import eventually

ME: Final = WorkerId("a" * 16)
TOKENS: Final = TokenOptions(place="client.token")
OPEN: Final[dict[str, Any]] = {
    "allow_subscribe_for_client": True,
    "allow_subscribe_for_anonymous": True,
    "allow_publish_for_subscriber": True,
    "allow_publish_for_anonymous": True,
}
KEPT: Final[dict[str, Any]] = {
    **OPEN,
    "history_size": 100,
    "history_ttl": timedelta(minutes=5),
    "allow_history_for_subscriber": True,
    "allow_history_for_anonymous": True,
    "allow_positioning": True,
    "allow_recovery": True,
}
SEEN: Final[dict[str, Any]] = {
    **OPEN,
    "presence": True,
    "join_leave": True,
    "allow_presence_for_subscriber": True,
    "allow_presence_for_anonymous": True,
}
NAMESPACES: Final = Namespaces(
    without_namespace=ChannelOptions(**OPEN),
    named={
        "kept": ChannelOptions(**KEPT),
        "seen": ChannelOptions(**SEEN),
        "told": ChannelOptions(**SEEN, force_push_join_leave=True),
        "closed": ChannelOptions(),
    },
)


class Decided:
    """Hooks that have decided already.

    Attributes:
        handlers: None while nobody knows of any.
        undecided: Once it is a list: what is to be told of those that are asked from then on.
    """

    def __init__(self) -> None:
        self.handlers: bool | None = True
        self.undecided: list[Callable[[HookOutcome], None]] | None = None
        self.outcomes: dict[tuple[HookKind, str], HookOutcome] = {}
        self.asked: list[HookRequest] = []
        self.unsubscribed: list[tuple[str, int, str]] = []

    def there(self, kind: HookKind, name: str | None) -> bool | None:
        named = [hooked for of, hooked in self.outcomes if of is kind]
        return self.handlers and (bool(named) if name is None else name in named)

    def ask(self, request: HookRequest, done: Callable[[HookOutcome], None]) -> None:
        self.asked.append(request)
        if self.undecided is not None:
            self.undecided.append(done)
            return
        done(self.outcomes[request.kind, request.name])

    def tell_unsubscribed(self, channel: str, code: int, reason: str) -> None:
        self.unsubscribed.append((channel, code, reason))


class Client:
    """A connection, and what its client was sent."""

    def __init__(self, context: SessionContext, place: int, user: str | None) -> None:
        self.id: ConnectionId = connection_id(ME, bytes([place]) * 16)
        self.user = user
        self.address = "192.0.2.1"
        self.admitted = True
        self.sent: list[dict[str, Any]] = []
        self.closed: tuple[int, str] | None = None
        self.hooks = Decided()
        self.dispatched: list[tuple[str, int]] = []
        self.session = CentrifugeSession(context)
        self.session.greeting(self)
        self._number = 0

    def say(self, *requests: dict[str, Any]) -> list[int]:
        """Send commands in one frame; their ids."""
        commands = []
        for request in requests:
            self._number += 1
            commands.append({"id": self._number, **request})
        text = "\n".join(map(json.dumps, commands))
        self.session.on_text(self, text, len(text))
        return [command["id"] for command in commands]

    async def ask(self, **request: Any) -> dict[str, Any]:
        [number] = self.say(request)
        return await self.reply(number)

    async def reply(self, number: int) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def has_come() -> bool:
            found[:] = [message for message in self.sent if message.get("id") == number]
            return bool(found)

        await eventually(has_come, f"a reply to {number}")
        return found[0]

    def pushes(self, kind: str) -> list[Any]:
        pushes = (message.get("push", {}) for message in self.sent)
        return [push[kind] for push in pushes if kind in push]

    # OpenConnection

    reading = True
    wants_messages = True

    def identify(self, user: str | None, presented: Presented) -> None:
        self.user = user

    def progressed(self) -> None:
        self.session.go_on()

    def dispatch(self, text: str, size_bytes: int) -> None:
        self.dispatched.append((text, size_bytes))

    def send(self, payload: bytes) -> None:
        if self.closed is None:
            self.sent += [json.loads(line) for line in payload.split(b"\n")]

    def send_run(self, run: Run) -> None:
        for message in run.messages:
            self.send(message)

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.session.on_close(code, reason)

    def end_with(self, ending: ConnectionEnding) -> None:
        self.close(ending.close_code, ending.reason)


class Stand:
    def __init__(
        self, parts: ChannelParts, stored_presence: StoredPresence, context: SessionContext
    ) -> None:
        self.parts = parts
        self.stored_presence = stored_presence
        self._context = context
        self._places = 0

    def socket(self, user: str | None = None) -> Client:
        """A client that has said nothing yet."""
        self._places += 1
        return Client(self._context, self._places, user)

    async def client(self, user: str | None = None) -> Client:
        client = self.socket(user)
        assert "connect" in await client.ask(connect={})
        return client

    def publish(self, channel: str, data: object) -> asyncio.Future[Any]:
        return self.parts.publisher.publish(channel, json.dumps(data).encode())


@asynccontextmanager
async def standing(
    *, max_channels: int = 1000, allow_anonymous: bool = True
) -> AsyncIterator[Stand]:
    loop = asyncio.get_running_loop()
    counters = Counters()
    broker = MemoryChannelBroker(MemoryChannelBus())
    fan_out = FanOut(counters, Hub())
    register_encoding(fan_out)
    options_of = NAMESPACES.options_of
    channels = Channels(
        broker, options_of, fan_out, counters, max_channels=max_channels, now=loop.time
    )
    store = MemoryPresenceStore()
    stored = StoredPresence(ME, store, may_write=lambda: True)
    presence = ChannelPresence(stored, options_of=options_of, tell=broker.tell)
    parts = ChannelParts(
        channels=channels,
        publisher=Publisher(broker, options_of, counters),
        presence=presence,
        presence_questions=PresenceQuestions(store, options_of),
        options_of=options_of,
    )
    verifier = token_verifier(TOKENS, TOKENS)
    context = SessionContext(
        version="1",
        requests=ClientRequests(
            parts, Authentication(verifier, allow_anonymous=allow_anonymous), verifier
        ),
        timers=TimerWheel(0.25),
        now=loop.time,
    )
    tasks = [asyncio.create_task(part.run()) for part in (channels, stored)]
    try:
        await eventually(lambda: broker.connected, "the broker")
        yield Stand(parts, stored, context)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
