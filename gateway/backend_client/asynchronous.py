"""The client for asyncio."""

from __future__ import annotations

from gateway.front.verbs import Verbs
from gateway.messaging.owner_requests import OwnerRequests
from gateway.messaging.user_requests import UserRequests
from gateway.protocol.envelopes.owner_requests import Receipted


class AsyncClient(Verbs):
    """What ``async with gateway.client(url)`` gives. Safe to use from several tasks of its loop."""

    def __init__(self, owner_requests: OwnerRequests, user_requests: UserRequests) -> None:
        self._owner_requests = owner_requests
        self._user_requests = user_requests

    @property
    def _requests(self) -> UserRequests:
        return self._user_requests


async def inquire(client: AsyncClient, connection: str) -> Receipted:
    """What the owner of a connection says of it. For tools."""
    return await client._owner_requests.inquire(connection)  # noqa: SLF001
