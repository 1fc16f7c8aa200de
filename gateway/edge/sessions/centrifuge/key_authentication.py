"""Who the admin page is: it shows an API key where clients show a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.close_codes import BAD_REQUEST, INVALID_TOKEN
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.log import get_logger
from gateway.log.seldom import Seldom
from gateway.metrics import Counters
from gateway.protocol.centrifuge.codes import INTERNAL
from gateway.protocol.centrifuge.commands import Connect, Refresh
from gateway.protocol.centrifuge.replies import ConnectResult
from gateway.protocol.centrifuge.session import Answer

log = get_logger(__name__)

TELL_EACH_S: Final = 60.0


class KeyAuthentication:
    """``Authenticates`` by API keys.

    Args:
        is_key: Says in constant time whether it is one.
        most: How many that have shown one may be connected.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        is_key: Callable[[bytes], bool],
        counters: Counters,
        *,
        most: int,
        now: Callable[[], float],
    ) -> None:
        self._is_key = is_key
        self._counters = counters
        self._most = most
        self._let_in: set[CentrifugeSession] = set()  # some of them have ended since
        self._wrong = Seldom(TELL_EACH_S, now)

    async def connect(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Connect,
    ) -> Answer:
        if not self._is_key(request.token.encode(errors="replace")):
            self._counters.admin_keys_refused += 1
            if keys := self._wrong.again():
                log.warning("admin key refused", address=connection.address, keys=keys)
            return INVALID_TOKEN
        self._let_in = {other for other in self._let_in if other.connection is not None}
        if len(self._let_in) >= self._most:
            return INTERNAL  # temporary: it tries again
        self._let_in.add(session)
        return ConnectResult()

    async def refresh(
        self,
        session: CentrifugeSession,  # noqa: ARG002
        connection: OpenConnection,  # noqa: ARG002
        request: Refresh,  # noqa: ARG002
    ) -> Answer:
        """A key does not expire."""
        return BAD_REQUEST
