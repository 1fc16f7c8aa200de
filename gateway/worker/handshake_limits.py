"""The bounds on handshakes that an operator has set, as far as this process can keep them."""

from __future__ import annotations

from gateway.edge.admission import Limits
from gateway.edge.open_files import look_for_room, make_room
from gateway.log import get_logger
from gateway.settings.config import Settings

log = get_logger(__name__)


def limits(settings: Settings) -> Limits:
    """The limits of one worker. Raises its limit of open files, or takes fewer connections."""
    if settings.role == "handler":  # it holds none
        return _within(settings, 0)
    room = make_room(settings.max_connections)
    if room.connections < settings.max_connections:
        log.warning(
            "open files bound connections",
            max_connections=room.connections,
            wanted=settings.max_connections,
            open_files=room.files,
        )
    return _within(settings, room.connections)


def _within(settings: Settings, max_connections: int) -> Limits:
    return Limits(
        max_connections=max_connections,
        max_connections_per_address=settings.max_connections_per_address,
        handshakes_per_second=settings.handshakes_per_second,
        allowed_origins=settings.allowed_origins,
        allowed_hosts=settings.allowed_hosts,
    )


def remark(settings: Settings) -> str | None:
    """What an operator should know who asks for the settings: connections that do not fit."""
    room = look_for_room(settings.max_connections)
    if settings.role == "handler" or room.connections == settings.max_connections:
        return None
    return (
        f"max_connections: {room.connections} a worker, not {settings.max_connections}, for want of"
        f" open files: the hard limit (ulimit -H -n) is {room.files}"
    )
