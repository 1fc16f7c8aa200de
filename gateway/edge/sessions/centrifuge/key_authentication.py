"""Who the admin page is: it shows an API key where clients show a token."""

from __future__ import annotations

from collections.abc import Callable

from gateway.close_codes import BAD_REQUEST, INVALID_TOKEN
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.log import get_logger
from gateway.protocol.centrifuge.commands import Connect, Refresh
from gateway.protocol.centrifuge.replies import ConnectResult
from gateway.protocol.centrifuge.session import Answer

log = get_logger(__name__)


class KeyAuthentication:
    """``Authenticates`` by API keys. ``is_key`` says in constant time whether it is one."""

    def __init__(self, is_key: Callable[[bytes], bool]) -> None:
        self._is_key = is_key

    async def connect(
        self,
        session: CentrifugeSession,  # noqa: ARG002
        connection: OpenConnection,
        request: Connect,
    ) -> Answer:
        if not self._is_key(request.token.encode(errors="replace")):
            log.debug("client refused", connection_id=connection.id, why="its key is none")
            return INVALID_TOKEN
        return ConnectResult()

    async def refresh(
        self,
        session: CentrifugeSession,  # noqa: ARG002
        connection: OpenConnection,  # noqa: ARG002
        request: Refresh,  # noqa: ARG002
    ) -> Answer:
        """A key does not expire."""
        return BAD_REQUEST
