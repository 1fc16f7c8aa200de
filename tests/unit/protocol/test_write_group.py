"""A group has whoever is in it, at its descriptor, and tells each what it was sent by it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.ids import ConnectionId
from gateway.protocol.run import Run
from gateway.protocol.write_group import WriteGroup


@dataclass
class Connection:
    """A ``Member``, and what it was told when it left."""

    id: ConnectionId
    left: list[tuple[int, float]] = field(default_factory=list)

    def left_group(self, group: WriteGroup, frames: int, wrote_at: float) -> None:
        assert self.id not in group
        self.left.append((frames, wrote_at))

    def send_rest(self, run: Run, taken: int) -> None:
        raise AssertionError("the group sends nothing")


def members(group: WriteGroup, count: int) -> list[Connection]:
    made = [Connection(ConnectionId(str(number))) for number in range(count)]
    for number, connection in enumerate(made):
        group.add(connection, 10 + number)
    return made


RUN = Run([b"one", b"two"])
ALL = len(RUN.framed)


def test_each_is_told_what_it_was_sent_while_it_was_there() -> None:
    group = WriteGroup()
    early, _ = members(group, 2)
    assert group.wrote(RUN, [ALL, ALL], 5.0) == []
    late = Connection(ConnectionId("late"))
    group.add(late, 30)
    assert group.wrote(RUN, [ALL, ALL, ALL], 6.0) == []

    assert group.sent(early.id) == (4, 6.0)
    group.remove(early.id)
    group.remove(late.id)
    group.remove(late.id)  # is not there

    assert early.left == [(4, 6.0)]
    assert late.left == [(2, 6.0)]
    assert group.descriptors == [11]


def test_who_does_not_take_all_leaves_and_was_not_sent_that_run() -> None:
    group = WriteGroup()
    first, second, third = members(group, 3)
    group.wrote(RUN, [ALL] * 3, 5.0)

    late = group.wrote(RUN, [0, ALL, 7], 6.0)

    assert late == [(first, 0), (third, 7)]
    assert first.left == third.left == [(2, 5.0)]
    assert group.descriptors == [11]
    assert group.sent(second.id) == (4, 6.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30))
def test_descriptors_are_those_of_who_is_there(deeds: list[tuple[bool, int]]) -> None:
    group = WriteGroup()
    there: dict[ConnectionId, int] = {}
    sent: dict[ConnectionId, int] = {}
    for comes, number in deeds:
        connection = Connection(ConnectionId(str(number)))
        if comes and connection.id not in there:
            group.add(connection, number)
            there[connection.id], sent[connection.id] = number, 0
        elif not comes:
            group.remove(connection.id)
            there.pop(connection.id, None)
        group.wrote(RUN, [ALL] * len(group), 1.0)
        for each in there:
            sent[each] += RUN.count

        assert sorted(group.descriptors) == sorted(there.values())
        assert len(group) == len(there)
        assert all(who in group and group.sent(who)[0] == sent[who] for who in there)
