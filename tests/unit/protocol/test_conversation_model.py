"""A conversation under random operations, against a model that is slow and obvious."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.conversation import Conversation, Event, Pending
from gateway.protocol.ids import WorkerId

A = WorkerId("a" * 16)
B = WorkerId("b" * 16)
C = WorkerId("c" * 16)


def numbers(pending: list[Pending]) -> list[int]:
    return [p.number for p in pending]


@dataclass
class Item:
    """One event of the model."""

    number: int
    size: int
    since: float
    attempt: int = 1
    asked: WorkerId | None = None
    blamed: bool = False
    owed: bool = False


@dataclass
class Model:
    """What a conversation must do, in the plainest words."""

    items: list[Item] = field(default_factory=list)
    count: int = 0
    held: bool = False

    def read(self, size: int, now: float, *, owed: bool = False) -> None:
        self.count += 1
        self.items.append(Item(self.count, size, now, owed=owed))

    def release(self, target: WorkerId | None) -> list[int]:
        owing = {item.asked for item in self.items if item.asked}
        if self.held or target is None or owing - {target}:
            return []
        dispatchable = takewhile(lambda item: item.attempt < 4, self.items)
        released = [item for item in dispatchable if item.asked is None]
        for item in released:
            item.asked = target
        return [item.number for item in released]

    def settle(self, worker: WorkerId, number: int, attempt: int) -> int | None:
        if not self.items:
            return None
        head = self.items[0]
        if (head.asked, head.number, head.attempt) != (worker, number, attempt):
            return None
        self.items.pop(0)
        return head.number

    def take_back(self, worker: WorkerId) -> tuple[int, list[int]]:
        moved = [item for item in self.items if item.asked == worker]
        for item in moved:
            item.asked = None
            item.attempt = 4 if item.blamed else item.attempt + 1
        return len(moved), self.take_spent()

    def blame(self, worker: WorkerId, number: int, attempt: int) -> None:
        for item in self.items:
            if (item.asked, item.number, item.attempt) == (worker, number, attempt):
                for other in self.items:
                    other.blamed = other is item

    def take_spent(self) -> list[int]:
        if any(item.asked for item in self.items):
            return []
        spent = [item.number for item in takewhile(lambda item: item.attempt == 4, self.items)]
        self.items = self.items[len(spent) :]
        return spent

    def expire(self, before: float) -> list[int]:
        if any(item.asked for item in self.items):
            return []
        expired = [item.number for item in self.items if item.since < before]
        self.items = [item for item in self.items if item.since >= before]
        return expired

    def abandon(self) -> None:
        self.items = [item for item in self.items if item.asked or item.owed]


WORKER = st.sampled_from([A, B, C])
STEP = st.one_of(
    st.tuples(st.just("read"), st.sampled_from([0, 1, 1 << 15, 1 << 19])),
    st.tuples(st.just("end")),
    st.tuples(st.just("release"), st.one_of(st.none(), WORKER)),
    st.tuples(st.just("settle"), WORKER, st.integers(-1, 2), st.integers(-1, 1)),
    st.tuples(st.just("answer")),
    st.tuples(st.just("take back"), WORKER),
    st.tuples(st.just("blame"), WORKER, st.integers(0, 3), st.integers(-1, 1)),
    st.tuples(st.just("take spent")),
    st.tuples(st.just("expire"), st.integers(0, 20)),
    st.tuples(st.just("abandon")),
    st.tuples(st.just("hold"), st.booleans()),
)


@given(st.lists(STEP, max_size=60))
def test_whatever_happens_it_does_what_the_model_does(steps: list[tuple[object, ...]]) -> None:
    it, model = Conversation(), Model()
    for now, step in enumerate(steps):
        play(it, model, step, float(now))
        outstanding = sum(item.asked is not None for item in model.items)
        size = sum(item.size for item in model.items)
        assert (len(it), it.outstanding, it.bytes_in_flight) == (
            len(model.items),
            outstanding,
            size,
        )
        assert it.waiting == len(model.items) - outstanding
        assert it.owes_ends == any(item.owed for item in model.items)
        most = 1 << 20 if it.waiting == 0 else (1 << 16) + 1
        assert it.full == (len(model.items) >= 32 or size >= most)


def play(it: Conversation, model: Model, step: tuple[object, ...], now: float) -> None:
    head = model.items[0] if model.items else Item(1, 0, 0.0)
    match step:
        case ("read", int(size)):
            it.read(Event.MESSAGE, "text", size_bytes=size, now=now)
            model.read(size, now)
        case ("end",):
            it.read(Event.UNSUBSCRIBE, "", size_bytes=7, now=now)
            model.read(7, now, owed=True)
        case ("release", target):
            worker = WorkerId(str(target)) if target else None
            released = it.release(worker)
            assert numbers(released) == model.release(worker)
            assert not released or it.worker == worker
        case ("settle", str(by), int(further), int(later)):
            worker, number, attempt = WorkerId(by), head.number + further, head.attempt + later
            found = it.settle(worker, number, attempt)
            assert (found and found.number) == model.settle(worker, number, attempt)
        case ("answer",) if head.asked:
            answered = it.settle(head.asked, head.number, head.attempt)
            assert answered is not None
            assert model.settle(head.asked, head.number, head.attempt) == answered.number
        case ("take back", str(by)):
            moved, spent = it.take_back(WorkerId(by))
            assert (moved, numbers(spent)) == model.take_back(WorkerId(by))
        case ("expire", int(ago)):
            assert numbers(it.expire(now - ago)) == model.expire(now - ago)
        case ("abandon",):
            it.abandon()
            model.abandon()
        case ("hold", bool(held)):
            it.held = model.held = held
        case _:
            play_blame(it, model, step, head)


def play_blame(it: Conversation, model: Model, step: tuple[object, ...], head: Item) -> None:
    match step:
        case ("blame", str(by), int(further), int(later)):
            blamed = WorkerId(by), head.number + further, max(1, head.attempt + later)
            it.blame(*blamed)
            model.blame(*blamed)
        case ("take spent",):
            assert numbers(it.take_spent()) == model.take_spent()
