"""What a worker's channel is asked for, and the steps that this leads to.

``gateway.protocol.worker_channel`` returns steps, and says which of its calls answers one. The
numbers are its own: an answer to a step that was superseded counts for nothing. Pure.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.protocol.channel_position import Break, Position
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import Publication


@dataclass(frozen=True, slots=True)
class Wish:
    """How somebody wants to subscribe.

    Attributes:
        positioned: To be told when publications are missing.
        since: Recover what came after it. Only who is positioned recovers.
    """

    positioned: bool = False
    since: Position | None = None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Ask the broker for the channel; then ``acknowledged`` or ``failed`` with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Release:
    """Give the broker's subscription back. A later ``Subscribe`` must not overtake it."""


@dataclass(frozen=True, slots=True)
class Read:
    """Read the history; then ``read`` or ``read_failed`` with this number.

    The newest publications after the offset ``after``, at most ``MAX_READ``, in order, and the top.
    None: only the top.
    """

    number: int
    after: int | None


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until everything that was published by now has arrived; then ``settled``.

    Whatever was sent to this worker before an answer on the same subscription has arrived with it.
    """

    number: int


@dataclass(frozen=True, slots=True)
class Linger:
    """In ``LINGER_S``: ``lingered`` with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Reply:
    """Tell a subscriber that it has subscribed. It is live from here on.

    Attributes:
        position: Where it is live from: what is after it, it will be sent. None if it is not
            positioned.
        recovered: None if it did not want to recover. False: it has missed something.
        publications: What it had missed, if it has recovered.
    """

    subscriber: ConnectionId
    position: Position | None = None
    recovered: bool | None = None
    publications: Collection[Publication] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Tell who wants to subscribe that it cannot be done now (error 100). It is forgotten."""

    subscriber: ConnectionId


@dataclass(frozen=True, slots=True)
class Deliver:
    """Send a publication to everybody in each of ``to``, which are those of the channel: no copy.

    To be done before the next event, since they change.
    """

    publication: Publication
    to: tuple[Collection[ConnectionId], ...]


@dataclass(frozen=True, slots=True)
class Insufficient:
    """Tell them that they have insufficient state (2500, 3010). They are no longer subscribed.

    One for each break, to be counted, even where nobody is to be told.
    """

    subscribers: Collection[ConnectionId]
    why: Break


Step = Subscribe | Release | Read | Settle | Linger | Reply | Refuse | Deliver | Insufficient
