"""What the connections of one worker share: its parts, the bounds on each of them, their states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from gateway.cluster.registration import Registration
from gateway.edge.close_codes import NO_PONG
from gateway.handlers.dispatch import Dispatcher
from gateway.log import get_logger
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.protocol.ids import ConnectionId

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

    DECIDING = auto()  # before the 101: the application may still refuse
    OPEN = auto()
    DRAINING = auto()  # not read any more; closes once everything is answered
    CLOSING = auto()  # a close frame is under way
    CLOSED = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionContext:
    """The parts of the worker that a connection works with."""

    hub: Hub
    dispatcher: Dispatcher
    registration: Registration
    counters: Counters
    limits: ConnectionLimits
    wants_disconnects: Callable[[], bool]
    now: Callable[[], float]

    def opened(self, connection: ConnectionId) -> None:
        self.counters.opened += 1
        log.debug("connection opened", connection_id=connection)

    def given_up(self, connection: ConnectionId) -> None:
        self.counters.given_up += 1
        log.error("on_disconnect given up", connection_id=connection)

    def closed(self, connection: ConnectionId, code: int, reason: str) -> None:
        self.counters.closed[code] += 1
        # Of reasons only this one, which is ours: a client's may hold anything.
        why = {"reason": reason} if (code, reason) == NO_PONG else {}
        log.debug("connection closed", connection_id=connection, code=code, **why)
