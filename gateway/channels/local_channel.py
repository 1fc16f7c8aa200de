"""One channel as this worker has it: who subscribes, and the machine that says what is done."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from gateway.channel_broker.base import HistoryOptions
from gateway.channels.subscriber import Encoding, Subscriber
from gateway.protocol.channel_steps import Step
from gateway.protocol.ids import ConnectionId
from gateway.protocol.worker_channel import WorkerChannel
from gateway.protocol.write_group import WriteGroup

Event = Callable[[], list[Step]]


class LocalChannel:
    """What ``Channels`` keeps of a channel.

    Attributes:
        history: None where nothing is kept, so that nobody has a position.
        subscribers: Those that are live, and those that wait.
        groups: Those of the live ones that a run is written to without asking them.
        told: Those of them that are told who joins and leaves.
        events: What has happened while ``busy``, to be taken in when the steps of what happened
            before are done.
        heard_at: When a message came last, or the top was read.
        look_at: When it is looked at next; and since when that is ``planned_at``.
        failures: So many reads in a row have failed.
    """

    __slots__ = (
        "busy", "events", "failures", "groups", "heard_at", "history", "look_at", "machine", "name",
        "planned_at", "subscribers", "told",
    )  # fmt: skip

    def __init__(self, name: str, history: HistoryOptions | None, *, now: float) -> None:
        self.name = name
        self.history = history
        self.machine = WorkerChannel()
        self.subscribers: dict[ConnectionId, Subscriber] = {}
        self.told: dict[ConnectionId, Subscriber] = {}
        self.groups: dict[Encoding, WriteGroup] = {}
        self.busy = False
        self.events: deque[Event] = deque()
        self.heard_at = now
        self.look_at = self.planned_at = now
        self.failures = 0

    def is_live(self, subscriber: ConnectionId) -> bool:
        machine = self.machine
        live = subscriber in machine.others or subscriber in machine.positioned
        return live and subscriber in self.subscribers

    def grouped(self, subscriber: ConnectionId) -> bool:
        return any(subscriber in group for group in self.groups.values())

    def remove(self, subscriber: ConnectionId) -> Subscriber | None:
        """Whoever it was. The machine is told besides."""
        self.told.pop(subscriber, None)
        for group in self.groups.values():
            group.remove(subscriber)
        return self.subscribers.pop(subscriber, None)
