"""How many connections a limit of open files leaves room for."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest

from gateway.edge.open_files import OWN_FILES, RESERVE, Room, make_room, room_for
from gateway.settings.config import Settings
from gateway.worker.handshake_limits import limits, remark

BESIDES = OWN_FILES + RESERVE
UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "room"),
    [
        (5000, 5000, Room(5000, 1000)),  # enough: left as it is
        (1000 + BESIDES, 5000, Room(1000 + BESIDES, 1000)),  # exactly enough
        (1000 + BESIDES - 1, 5000, Room(1000 + BESIDES, 1000)),  # raised as far as needed
        (256, UNLIMITED, Room(1000 + BESIDES, 1000)),
        (256, 512, Room(512, 512 - BESIDES)),  # raised as far as it goes
        (256, 256, Room(256, 256 - BESIDES)),
        (64, 64, Room(64, 1)),  # nothing fits, and somebody must
        (UNLIMITED, UNLIMITED, Room(None, 1000)),
    ],
)
def test_the_soft_limit_is_raised_or_fewer_connections_are_taken(
    soft: int, hard: int, room: Room
) -> None:
    assert room_for(1000, soft=soft, hard=hard) == room


@pytest.fixture
def soft() -> Iterator[int]:
    """A soft limit of this process that is below its hard one."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    low = before[0] - 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (low, before[1]))
    yield low
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_making_room_raises_the_soft_limit_of_this_process(soft: int) -> None:
    room = make_room(soft + 50 - BESIDES)

    assert room == Room(soft + 50, soft + 50 - BESIDES)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == soft + 50


def test_where_the_limit_cannot_be_raised_fewer_connections_are_taken(
    soft: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("as on macOS, past what it does not tell")

    monkeypatch.setattr(resource, "setrlimit", refuse)

    assert make_room(soft).connections == soft - BESIDES
    monkeypatch.undo()


def test_what_does_not_fit_is_said_to_whoever_asks_for_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 512))

    said = remark(Settings(max_connections=15000))

    assert said is not None
    assert str(512 - BESIDES) in said
    assert remark(Settings(max_connections=200)) is None


def test_a_handler_worker_takes_no_connections_and_needs_no_room() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert limits(Settings(role="handler", max_connections=1_000_000)).max_connections == 0
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
