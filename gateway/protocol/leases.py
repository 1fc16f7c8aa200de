"""What the leases say: who has one until when, what it says of itself, and who is fenced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from gateway.protocol.ids import WorkerId


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """What a worker says of itself with its lease.

    Attributes:
        edge: It holds sockets.
        handler: It runs the application's handlers.
        leaving: It drains: no new work.
        on_message: Its application handles messages. A release that does not say it does.
        on_connect: Its application decides on connections.
        on_disconnect: Its application wants to know of their end.
        envelope_version: The newest version it reads.
        host: For people, and so that no edge relies on one host (``gateway.protocol.subset``).
        pid: For people.
        hooks: The kind and the pattern of each hook of its application. None is of a release that
            cannot be asked.
        traces: It reads what is a part of a trace (``gateway.protocol.envelopes.traced``).
        reports: It tells how it is while somebody looks (``gateway.protocol.reports``).
    """

    edge: bool
    handler: bool
    leaving: bool = False
    on_message: bool = True
    on_connect: bool = False
    on_disconnect: bool = False
    envelope_version: int = 1
    host: str = ""
    pid: int = 0
    hooks: tuple[tuple[str, str], ...] | None = None
    traces: bool = False
    reports: bool = False

    @property
    def role(self) -> str:
        """``both``, ``edge`` or ``handler``, for people."""
        return "both" if self.edge and self.handler else "edge" if self.edge else "handler"


@dataclass(frozen=True, slots=True)
class Leases:
    """All leases at one moment of Redis' time, and who is fenced: declared dead, and refused since.

    ``known_since_ms`` is when this server began to know them: when the first was written, or when
    it took over from another, or from itself before a restart. Another time means that Redis may
    have lost what it knew, and that absence says nothing.
    """

    now_ms: int
    workers: Mapping[WorkerId, tuple[int, WorkerInfo]]  # lease end in ms, what it says
    fenced: Collection[WorkerId]
    known_since_ms: int = 0
