"""What the traced parts of one edge know of its connections, beside what they trace themselves."""

from __future__ import annotations

from opentelemetry.trace import Span, SpanContext

from gateway.protocol.ids import ConnectionId
from gateway.tracing.tracing import fail


class ConnectionTraces:
    """Of each connection the span of its handshake, and those of its commands. Only what is
    sampled is kept, and nothing of a connection that is closed.

    Attributes:
        command: The span of the command that is being taken, within one call.
    """

    def __init__(self) -> None:
        self.command: Span | None = None
        self._handshakes: dict[ConnectionId, SpanContext] = {}
        self._commands: dict[ConnectionId, set[Span]] = {}

    def handshaken(self, connection: ConnectionId, handshake: SpanContext) -> None:
        """In which span it has begun."""
        if handshake.is_valid and handshake.trace_flags.sampled:
            self._handshakes[connection] = handshake

    def handshake(self, connection: ConnectionId) -> SpanContext | None:
        return self._handshakes.get(connection)

    def begun(self, connection: ConnectionId, command: Span) -> None:
        """A command is to be answered: ``ended`` follows, or ``closed``."""
        if command.is_recording():
            self._commands.setdefault(connection, set()).add(command)

    def ended(self, connection: ConnectionId, command: Span) -> None:
        """It was answered; nothing of one that was abandoned with its connection."""
        if not command.is_recording():
            return
        command.end()
        commands = self._commands.get(connection, set())
        commands.discard(command)
        if not commands:
            self._commands.pop(connection, None)

    def closed(self, connection: ConnectionId) -> None:
        """Nothing more comes of it."""
        self._handshakes.pop(connection, None)
        for command in self._commands.pop(connection, ()):
            fail(command, "abandoned")
            command.end()
