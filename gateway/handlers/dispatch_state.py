"""What a dispatcher knows of one whose events it has handled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from gateway.protocol.conversation import Conversation, Pending
from gateway.protocol.envelopes.dispatching import Answer, ConnectionFacts
from gateway.protocol.ids import ConnectionId, WorkerId

_NOTHING: Final = ConnectionFacts(None, "", "", (), (), None)


class Dispatchable(Protocol):
    """Whoever has something handled: a connection, or what a sweep found of one."""

    @property
    def id(self) -> ConnectionId: ...

    @property
    def facts(self) -> ConnectionFacts: ...

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        """The oldest unanswered event has its answer."""
        ...

    def unhandled(self, pending: Pending) -> None:
        """An event has had its last attempt, or nobody came to handle it in time."""
        ...


@dataclass(frozen=True, slots=True)
class Nobody:
    """In the place of a dispatchable that has closed its state: the two would keep each other."""

    id: ConnectionId
    facts: ConnectionFacts = _NOTHING

    def answered(self, pending: Pending, answer: Answer, handled_by: WorkerId) -> None:
        pass

    def unhandled(self, pending: Pending) -> None:
        pass


class DispatchState:
    """The notes on one dispatchable, which holds them and hands them in with every call."""

    __slots__ = (
        "asks_hooks",
        "conversation",
        "dispatchable",
        "generation",
        "introduced_to",
        "target",
        "waits_for",
    )

    def __init__(self, dispatchable: Dispatchable) -> None:
        self.dispatchable = dispatchable
        self.conversation = Conversation()
        self.target: WorkerId | None = None
        self.generation = -1
        self.introduced_to: WorkerId | None = None
        self.waits_for: str | None = None  # room, and where
        self.asks_hooks = False  # it goes to workers that declare some
