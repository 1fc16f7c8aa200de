"""The client for asyncio."""

from __future__ import annotations

from gateway.application.verbs import Verbs
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.envelopes.requests_to_owners import Receipted


class AsyncClient(Verbs):
    """What ``async with gateway.client(url)`` gives. Safe to use from several tasks of its loop."""

    def __init__(
        self, requests_to_owners: RequestsToOwners, requests_to_users: RequestsToUsers
    ) -> None:
        self._requests_to_owners = requests_to_owners
        self._requests_to_users = requests_to_users

    @property
    def _requests(self) -> RequestsToUsers:
        return self._requests_to_users


async def inquire(client: AsyncClient, connection: str) -> Receipted:
    """What the owner of a connection says of it. For tools."""
    return await client._requests_to_owners.inquire(connection)  # noqa: SLF001
