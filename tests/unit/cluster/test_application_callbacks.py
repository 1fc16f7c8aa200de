"""What the edges of an application must ask for, as its handler workers say."""

from __future__ import annotations

from gateway.cluster.application_callbacks import Callbacks
from gateway.protocol.hooks import HookKind
from gateway.protocol.leases import WorkerInfo
from gateway.protocol.members import Members
from tests.support.ids import new_worker_id

ROOMS = ("subscribe", "room:*")
ROOM_1 = ("publish", "room:1")


class Workers:
    """An edge, and the hooks of the handler workers it knows."""

    def __init__(self) -> None:
        self.members = Members(
            new_worker_id(), WorkerInfo(edge=True, handler=False), lease_s=10.0, now=0.0
        )
        self.callbacks = Callbacks(self.members)

    def are(self, *hooks: tuple[tuple[str, str], ...] | None) -> None:
        for worker in self.members.handlers:
            self.members.gone(worker, now=0.0)
        self.take(*(WorkerInfo(edge=False, handler=True, hooks=each) for each in hooks))

    def take(self, *infos: WorkerInfo) -> None:
        self.members.known |= {new_worker_id(): info for info in infos}
        self.members._elect()
        self.callbacks.workers_changed()

    def has(self, kind: HookKind, name: str) -> bool | None:
        return self.callbacks.has_hook(kind, name)


def test_before_any_handler_worker_was_seen_nobody_knows() -> None:
    workers = Workers()
    workers.are()

    assert workers.has(HookKind.SUBSCRIBE, "room:1") is None


def test_a_hook_is_there_if_any_worker_has_it() -> None:
    workers = Workers()
    workers.are((ROOMS,), (ROOM_1, ("later", "*")), None)

    assert workers.has(HookKind.SUBSCRIBE, "room:2") is True
    assert workers.has(HookKind.PUBLISH, "room:1") is True
    assert workers.has(HookKind.PUBLISH, "room:2") is False
    assert workers.has(HookKind.RPC, "room:1") is False


def test_with_nobody_alive_the_last_word_stands() -> None:
    """Red when there are none then: a namespace would let in whom the application would not."""
    workers = Workers()
    workers.are((ROOMS,))
    workers.are()

    assert workers.has(HookKind.SUBSCRIBE, "room:1") is True


def test_hooks_go_with_the_application_that_had_them() -> None:
    workers = Workers()
    workers.are((ROOMS,))
    workers.are(())

    assert workers.has(HookKind.SUBSCRIBE, "room:1") is False


def test_messages_are_wanted_if_any_worker_handles_them() -> None:
    """Of a release that does not say so it is believed: a close tells clients to stay away."""
    workers = Workers()
    assert workers.callbacks.wants_messages is None
    workers.take(WorkerInfo(edge=False, handler=True, on_message=False))
    assert workers.callbacks.wants_messages is False
    workers.take(WorkerInfo(edge=False, handler=True))
    assert workers.callbacks.wants_messages is True
    workers.are()
    assert workers.callbacks.wants_messages is True
