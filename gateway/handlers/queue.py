"""What waits to be handled for one connection at one worker, and the handler that runs for it."""

from __future__ import annotations

import asyncio
from collections import deque
from contextvars import Context
from enum import Enum, auto

from gateway.handlers.definitions import Connection
from gateway.protocol.envelopes.dispatching import (
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
)
from gateway.protocol.envelopes.hooks import DispatchHook
from gateway.protocol.ids import WorkerId

AnyDispatch = Dispatch | DispatchConnect | DispatchDisconnect | DispatchHook


class QueueState(Enum):
    """What a queue waits for."""

    IDLE = auto()  # a dispatch
    READY = auto()  # its turn
    PARKED = auto()  # room on the link to its edge
    RUNNING = auto()  # the end of its handler


class Queue:
    """One connection's dispatches at this worker.

    Attributes:
        running: What its handler is at.
        task: Set while a handler runs.
        cancels: How often what runs was cancelled by us.
        forgotten: Its edge wants nothing more of it than what is still to be handled.
        unwanted: Its edge has gone: nobody waits for an answer.
    """

    __slots__ = (
        "cancels", "connection", "context", "dispatches", "edge", "forgotten", "running",
        "started_at", "state", "task", "unwanted",
    )  # fmt: skip

    def __init__(self, edge: WorkerId, connection: Connection) -> None:
        self.edge = edge
        self.connection = connection
        self.dispatches: deque[AnyDispatch] = deque()
        self.context: Context | None = None
        self.running: AnyDispatch | None = None
        self.task: asyncio.Task[None] | None = None
        self.started_at = 0.0
        self.state = QueueState.IDLE
        self.cancels = 0
        self.forgotten = False
        self.unwanted = False

    def cancel(self) -> None:
        """Cancel what runs."""
        if self.task is not None:
            self.cancels += 1
            self.task.cancel()

    def uncancel(self) -> None:
        """What was cancelled has ended."""
        if self.task is not None:
            for _ in range(self.cancels):
                self.task.uncancel()
        self.cancels = 0
