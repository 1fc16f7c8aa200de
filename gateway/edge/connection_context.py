"""What the connections of one edge share: its parts, the bounds on each of them, their states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from gateway.channels.channels import Channels
from gateway.close_codes import NO_PONG
from gateway.handlers.dispatch_state import DispatchState
from gateway.handlers.dispatcher import Dispatcher
from gateway.log import get_logger
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.protocol.conversation import Event
from gateway.protocol.hooks import HookKind
from gateway.protocol.ids import ConnectionId
from gateway.registry.base import Entry

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionLimits:
    """The bounds on one connection. None is no bound."""

    message_bytes: int
    messages_per_second: int | None
    outbox_bytes: int
    stall_s: float


class ConnectionState(Enum):
    """Of one connection. It moves down this list, past some of them, and never up."""

    OPEN = auto()
    DRAINING = auto()  # not read any more; closes once everything is answered
    CLOSING = auto()  # a close frame is under way
    CLOSED = auto()


class Listing(Protocol):
    """Where open connections are listed (``gateway.cluster.registration.Registration``)."""

    def put(self, connection: ConnectionId, entry: Entry, written: Callable[[], None]) -> None: ...

    def change(self, connection: ConnectionId, entry: Entry) -> None: ...

    def drop(self, connection: ConnectionId) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionContext:
    """The parts of the worker that a connection works with."""

    hub: Hub
    channels: Channels
    dispatcher: Dispatcher
    registration: Listing
    counters: Counters
    limits: ConnectionLimits
    wants_messages: Callable[[], bool]
    wants_disconnects: Callable[[], bool]
    has_hook: Callable[[HookKind, str | None], bool | None]
    now: Callable[[], float]

    def opened(self, connection: ConnectionId) -> None:
        self.counters.opened += 1
        log.debug("connection opened", connection_id=connection)

    def changed(self, connection: ConnectionId, entry: Entry, state: DispatchState) -> None:
        """What is known of an open connection has changed: tell the registry, and its handlers."""
        self.registration.change(connection, entry)
        self.dispatcher.introduce_again(state)

    def dispatch_disconnect(self, state: DispatchState, code: int, reason: str) -> None:
        """Have ``on_disconnect`` run behind whatever runs; what waits is dropped."""
        state.conversation.held = False
        state.conversation.abandon()  # but for the ends of subscriptions
        self.dispatcher.read(state, Event.DISCONNECT, reason, close_code=code)

    def forget(self, connection: ConnectionId, state: DispatchState) -> None:
        """Nothing more is owed to it. Until then, whoever sweeps this worker finds it listed."""
        self.registration.drop(connection)
        self.dispatcher.close(state)
        self.hub.remove(connection)

    def given_up(self, connection: ConnectionId) -> None:
        self.counters.given_up += 1
        log.error("on_disconnect given up", connection_id=connection)

    def closed(self, connection: ConnectionId, code: int, reason: str) -> None:
        self.counters.closed[code] += 1
        # Of reasons only this one, which is ours: a client's may hold anything.
        why = {"reason": reason} if (code, reason) == NO_PONG else {}
        log.debug("connection closed", connection_id=connection, code=code, **why)
