"""Which connections are whose, at one worker: kept beside its entries, for the question by user."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from gateway.protocol.ids import ConnectionId
from gateway.registry.base import Entry


class Users:
    """The users of one worker's entries.

    Attributes:
        touched: Users whose connections have changed; whoever writes them down takes them out.
    """

    def __init__(self) -> None:
        self.touched: set[str] = set()
        self._user_of: dict[ConnectionId, str] = {}
        self._connections: dict[str, dict[ConnectionId, None]] = {}  # in the order they came

    def apply(self, changes: Mapping[ConnectionId, Entry | None]) -> None:
        """Take in what is written of entries. Twice is the same as once."""
        for connection, entry in changes.items():
            before = self._user_of.get(connection)
            user = None if entry is None else entry.user
            if user == before:
                continue
            if before is not None:
                self._remove(connection, before)
            if user is not None:
                self._user_of[connection] = user
                self._connections.setdefault(user, {})[connection] = None
                self.touched.add(user)

    def of(self, user: str) -> Collection[ConnectionId]:
        """The connections of ``user``, the oldest first; none if it has none here."""
        return self._connections.get(user, {}).keys()

    def _remove(self, connection: ConnectionId, user: str) -> None:
        del self._user_of[connection]
        theirs = self._connections[user]
        del theirs[connection]
        if not theirs:
            del self._connections[user]
        self.touched.add(user)
