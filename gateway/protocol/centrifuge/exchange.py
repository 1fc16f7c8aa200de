"""What one client is still owed: each command gets one reply, and only so many wait for theirs."""

from __future__ import annotations

import msgspec

from gateway.protocol.centrifuge.codes import Error, Unsubscribed
from gateway.protocol.centrifuge.commands import NAMES, Command, History
from gateway.protocol.centrifuge.refusals import Limits
from gateway.protocol.centrifuge.replies import Result, error_reply, reply
from gateway.protocol.centrifuge.steps import Ask, Steps


class Exchange:
    """Commands from their coming to their reply.

    ``begin`` is called once for each, then ``reply`` or ``refuse`` once, perhaps after ``ask``.

    Attributes:
        full: At a bound of what may wait.
    """

    __slots__ = ("_asked", "_in_flight", "_in_flight_bytes", "_limits", "_ticket", "full", "steps")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._asked: dict[int, Command] = {}
        self._ticket = 0
        self._in_flight = 0
        self._in_flight_bytes = 0
        self.full = False
        self.steps = Steps()

    def begin(self, command: Command) -> None:
        self._count(1, command.size_bytes)

    def _count(self, commands: int, size_bytes: int) -> None:
        self._in_flight += commands
        self._in_flight_bytes += size_bytes
        self.full = (
            self._in_flight >= self._limits.in_flight
            or self._in_flight_bytes >= self._limits.in_flight_bytes
        )

    def ask(self, command: Command, ended: Unsubscribed | None = None) -> None:
        request = command.request
        if isinstance(request, History):
            most = self._limits.history_publications
            limit = min(request.limit, most) if request.limit >= 0 else most
            request = msgspec.structs.replace(request, limit=limit)
        self._ticket += 1
        self._asked[self._ticket] = command
        self.steps.then(Ask(self._ticket, request, ended))

    def answered(self, ticket: int) -> Command | None:
        """What was asked with this ticket; None if that is answered already, or never was."""
        return self._asked.pop(ticket, None)

    def reply(self, command: Command, result: Result) -> None:
        self._count(-1, -command.size_bytes)
        if command.id:
            self.steps.message(reply(command.id, NAMES[type(command.request)], result))

    def refuse(self, command: Command, error: Error) -> None:
        self._count(-1, -command.size_bytes)
        if command.id:
            self.steps.message(error_reply(command.id, error))
