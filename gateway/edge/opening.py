"""What a connection waits for before the first of its messages is handled."""

from __future__ import annotations

from collections.abc import Callable, Collection

from gateway.edge.sessions.base import OpenConnection, Session
from gateway.errors import BrokerAway, BrokerUnavailable, GatewayError, HandlerFailed
from gateway.log import get_logger
from gateway.protocol.receipt import Receipt

log = get_logger(__name__)


class Opening:
    """The registry has it, and it is in the channels that ``on_connect`` has named, or the
    application has unsubscribed it there.

    Args:
        ready: Called once, when both are so. Never if it ends before.
    """

    __slots__ = ("_connection", "_missing", "_ready")

    def __init__(
        self, connection: OpenConnection, channels: Collection[str], ready: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._ready = ready
        self._missing = 1 + len(channels)

    def subscribe(self, session: Session, channels: Collection[str]) -> None:
        for channel in channels:
            session.subscribe(self._connection, channel, self._subscribed)

    def registered(self) -> None:
        self._one_less()

    def _subscribed(self, result: Receipt | GatewayError) -> None:
        """It cannot stay without a channel that its application takes for granted."""
        connection = self._connection
        if isinstance(result, Receipt):  # GONE: its application has taken it back
            self._one_less()
        elif isinstance(result, BrokerUnavailable):
            connection.end_with(BrokerAway())
        elif isinstance(result, GatewayError):
            why = str(result)
            log.error("channel of on_connect refused", connection_id=connection.id, why=why)
            connection.end_with(HandlerFailed())

    def _one_less(self) -> None:
        self._missing -= 1
        if not self._missing:
            self._ready()
