"""What an application sends out of turn in a test: taken, and delivered to its clients."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from gateway import arguments
from gateway.app import Gateway
from gateway.messaging.requests_to_users import RequestsToUsers
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt
from gateway.registry.base import Entry
from gateway.settings.namespaces import Namespaces
from gateway.settings.sources import current
from gateway.testing.channels import Published, TestChannels

if TYPE_CHECKING:
    from gateway.testing.client import Client


@dataclass(frozen=True, slots=True)
class Pushed:
    """What an application has sent out of turn."""

    connection: str
    text: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """What an application has closed."""

    connection: str
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Whom an application has subscribed to a channel."""

    connection: str
    channel: str


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """Whom an application has unsubscribed from a channel."""

    connection: str
    channel: str


Taken = Pushed | Disconnected | Subscribed | Unsubscribed | Published


class Outbox:
    """Takes what an application sends and closes, and gives each the same receipt.

    To a client of this test it is delivered: see ``Client.received`` and ``Client.closed``. So is
    what is published, to those whom the application has subscribed.

    Attributes:
        receipt: The next receipts. Change it at any time.
        taken: ``Pushed``, ``Disconnected``, ``Subscribed``, ``Unsubscribed`` and ``Published``, in
            the order in which they came.
    """

    def __init__(
        self, receipt: Receipt = Receipt.WRITTEN, *, namespaces: Callable[[], Namespaces]
    ) -> None:
        self.receipt = receipt
        self.taken: list[Taken] = []
        self._channels = TestChannels(namespaces, self.taken.append)
        self._clients: dict[str, Client] = {}

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:  # noqa: ARG002
        self.taken.append(Pushed(connection, text))
        client = self._clients.get(connection)
        if client is not None and client.closed:
            return Receipt.GONE
        if client is not None and self.receipt is Receipt.WRITTEN:
            client.received.append(text)
        return self.receipt

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt:
        self.taken.append(Disconnected(connection, code, reason))
        client = self._clients.get(connection)
        if client is not None and client.closed:
            return Receipt.GONE
        if client is not None and self.receipt is Receipt.WRITTEN:
            client.closed = (code, reason)
        return self.receipt

    async def subscribe(self, connection: str, channel: str) -> Receipt:
        receipt = self._taken(connection, Subscribed(connection, channel))
        if receipt is Receipt.WRITTEN:
            self._channels.subscribe(connection, self._clients.get(connection), channel)
        return receipt

    async def unsubscribe(self, connection: str, channel: str) -> Receipt:
        receipt = self._taken(connection, Unsubscribed(connection, channel))
        if receipt is Receipt.WRITTEN:
            self._channels.unsubscribe(connection, channel)
        return receipt

    def _taken(self, connection: str, taken: Taken) -> Receipt:
        self.taken.append(taken)
        client = self._clients.get(connection)
        return Receipt.GONE if client is not None and client.closed else self.receipt

    def _join(self, client: Client) -> None:
        self._clients[client.connection.id] = client

    async def _of_user(self, user: str) -> list[tuple[ConnectionId, Entry]]:
        return [
            (
                ConnectionId(name),
                Entry(user, each.address, each.headers.get("user-agent", ""), "text", 0),
            )
            for name, client in self._clients.items()
            if (each := client.connection).user == user and client.connected
        ]


@contextmanager
def outbox(
    gateway: Gateway,
    receipt: Receipt = Receipt.WRITTEN,
    *,
    namespaces: Namespaces | None = None,
) -> Iterator[Outbox]:
    """Let ``gateway.send``, ``gateway.publish`` and their like work without a worker, and look on.

    Clients that connect within the block are those who are there: they get what is sent to them and
    to their users, and, as text sockets do, what is published to channels to which the application
    has subscribed them.

    Args:
        receipt: Of everything.
        namespaces: Which there are, and what their channels keep. Without it, as workers of this
            process would have it: of the ``Gateway``'s settings, or of the environment and of the
            file that ``GATEWAY_CONFIG`` names. Nothing is kept unless that says so.

    Example::

        with outbox(gateway) as sent:
            ann, ben = Client(gateway, query="ann"), Client(gateway, query="ben")
            await ann.connect()
            await ben.connect()
            await ann.send("to ben: hello")
        assert ben.received == ["hello"]
        assert sent.taken == [Pushed(ben.connection.id, "hello")]
    """
    arguments.instance("gateway", gateway, Gateway)
    arguments.instance("receipt", receipt, Receipt)
    if namespaces is not None:
        arguments.instance("namespaces", namespaces, Namespaces, "Namespaces or None")

    @cache
    def namespaces_of() -> Namespaces:
        return (gateway.settings or current()).channel if namespaces is None else namespaces

    taking = Outbox(receipt, namespaces=namespaces_of)
    users = RequestsToUsers(taking, taking._of_user)  # noqa: SLF001
    with gateway._standing_in(users, taking._channels):  # noqa: SLF001
        yield taking
