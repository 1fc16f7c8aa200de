"""What the sessions of one worker share, and who does what their clients ask for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.subscription import Done
from gateway.edge.sockets.timer_wheel import TimerWheel
from gateway.protocol.centrifuge.commands import Request
from gateway.protocol.centrifuge.session import TIMING, Timing
from gateway.protocol.centrifuge.steps import Ask

if TYPE_CHECKING:
    from gateway.edge.sessions.centrifuge.session import CentrifugeSession

TICK_S: Final = 0.25  # of the timer that all sessions of a worker share


class Requests(Protocol):
    """Does what clients ask for. Nothing here waits, and nothing raises."""

    @property
    def available(self) -> frozenset[type[Request]]:
        """What is served beyond connect and unsubscribe."""
        ...

    def ask(self, session: CentrifugeSession, ask: Ask) -> None:
        """Have it done; ``session.answer`` is called once with its ticket, perhaps at once."""
        ...

    def subscribe(
        self, session: CentrifugeSession, connection: OpenConnection, channel: str, done: Done
    ) -> None:
        """Subscribe a connected client, as the server wants it.

        Raises:
            BadChannel: Nothing may be called that.
            UnknownChannel: Its namespace is not set up.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """What the sessions of one worker share.

    Attributes:
        version: Of the server, as clients are told.
        timers: One timer for all of them.
        now: Monotonic seconds.
        timing: What their clients are given.
    """

    version: str
    requests: Requests
    timers: TimerWheel
    now: Callable[[], float]
    timing: Timing = TIMING
