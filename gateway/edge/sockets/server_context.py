"""What the WebSockets of one uvicorn server have in common."""

from __future__ import annotations

from enum import Enum, auto
from typing import Final
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.server import ServerState

from gateway.edge.sockets.frame_parser import ParserPool
from gateway.edge.sockets.handshake_throttle import HandshakeThrottle
from gateway.edge.sockets.timer_wheel import TimerWheel

CLOSE_S: Final = 10.0  # for the peer's part of the end; then the connection is dropped
_TICKS: Final = 20  # in the shortest deadline


class SocketState(Enum):
    """Of one WebSocket. It moves down this list, past some of them, and never up."""

    DECIDING = auto()  # the application has not answered the handshake
    OPEN = auto()
    CLOSING = auto()  # our close frame is under way, the peer's is awaited
    ENDED = auto()  # nothing is read any more; the transport goes when everything is written


class ServerContext:
    """Parsers, timers, a throttle, and the settings that are looked at for every connection."""

    def __init__(self, config: Config) -> None:
        if not config.loaded:
            config.load()
        self.config = config
        self.ping_interval_s = config.ws_ping_interval
        self.ping_timeout_s = config.ws_ping_timeout
        shortest_s = min(filter(None, (self.ping_interval_s, self.ping_timeout_s, CLOSE_S)))
        self.throttle = HandshakeThrottle()
        self.backlog = HandshakeThrottle(1)  # who has read more than is parsed in a turn
        self.parsers = ParserPool(config.ws_max_size)
        self.timers = TimerWheel(shortest_s / _TICKS)


_by_server: WeakKeyDictionary[ServerState, ServerContext] = WeakKeyDictionary()


def context_of(server: ServerState, config: Config) -> ServerContext:
    """The context of this server, made with its first WebSocket."""
    context = _by_server.get(server)
    if context is None:
        context = _by_server[server] = ServerContext(config)
    return context
