"""Channels in which the server has put a client whose own wish to subscribe is undecided."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Final

from gateway.edge.sessions.centrifuge.subscription import Subscription
from gateway.protocol.run import Run

MAX_UNTOLD: Final = 256  # pushes of a channel


class Untold:
    """What comes for a channel before its client is told that it is in it.

    SDKs drop that; so it waits, and goes behind what tells of the channel.

    Args:
        full: Called when more would wait than may.
    """

    __slots__ = ("_full", "_held")

    def __init__(self, full: Callable[[], None]) -> None:
        self._full = full
        self._held: dict[str, list[bytes]] = {}

    def __len__(self) -> int:
        """How many channels."""
        return len(self._held)

    def hold(self, channel: str, subscription: Subscription) -> None:
        """Keep what is delivered from now on."""
        held = self._held[channel] = []

        def keep(run: Run) -> None:
            if len(held) + len(run.messages) <= MAX_UNTOLD:
                held.extend(run.messages)
            else:
                self._full()

        subscription.deliver = keep

    def forget(self, channel: str) -> None:
        """Its subscription has ended."""
        self._held.pop(channel, None)

    def tell(
        self,
        undecided: Container[str],
        subscriptions: Mapping[str, Subscription],
        deliver: Callable[[Run], None],
    ) -> None:
        """Hand on what was kept for channels that are decided; what comes then is not kept."""
        for channel in [name for name in self._held if name not in undecided]:
            held = self._held.pop(channel)
            subscriptions[channel].deliver = deliver
            if held:
                deliver(Run(held))
