"""How many connections the limit of open files leaves room for. A connection is one descriptor."""

from __future__ import annotations

import resource
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

OWN_FILES: Final = (
    96  # of a worker that holds no connection: some 50, and what an application opens
)
RESERVE: Final = 32  # not for clients: a probe, a scrape and a new connection to Redis need some

_NONE: Final = resource.RLIM_INFINITY


@dataclass(frozen=True, slots=True)
class Room:
    """The limit of open files (None: there is none), and the connections that fit below it."""

    files: int | None
    connections: int


def room_for(connections: int, *, soft: int, hard: int) -> Room:
    """What is best within these limits, which are those of RLIMIT_NOFILE.

    The soft limit may become as large as the hard one. It is left alone where it is enough.
    """
    wanted = connections + OWN_FILES + RESERVE
    if soft == _NONE:
        return Room(None, connections)
    files = max(soft, wanted if hard == _NONE else min(wanted, hard))
    return Room(files, min(connections, max(1, files - OWN_FILES - RESERVE)))


def look_for_room(connections: int) -> Room:
    """What ``make_room`` would find."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return room_for(connections, soft=soft, hard=hard)


def make_room(connections: int) -> Room:
    """Raise this process's soft limit if it must be, and say what fits below it then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = room_for(connections, soft=soft, hard=hard)
    if room.files is None or room.files <= soft:
        return room
    with suppress(ValueError, OSError):  # macOS has another bound besides, and does not tell it
        resource.setrlimit(resource.RLIMIT_NOFILE, (room.files, hard))
        return room
    return room_for(connections, soft=soft, hard=soft)
