"""Run an application's handlers in a test, without Redis, sockets or processes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

from gateway.app import Gateway
from gateway.errors import GatewayError
from gateway.handlers.table import Admit, Connection, Message, decision
from gateway.protocol.ids import ConnectionId
from gateway.protocol.receipt import Receipt

_serial = itertools.count()


class NoHandler(GatewayError):
    """The application has no handler of the kind that was called."""

    code = "no_handler"


def connection(
    *,
    user: str | None = None,
    headers: Mapping[str, str] | None = None,
    query: str = "",
    address: str = "192.0.2.1",
    subprotocols: tuple[str, ...] = (),
    expires_at: float | None = None,
) -> Connection:
    """A connection as handlers see it, with an id of the right form."""
    name = ConnectionId(f"testtesttesttest.{next(_serial):022d}")
    lowered = {key.lower(): value for key, value in (headers or {}).items()}
    return Connection(name, user, lowered, query, address, subprotocols, expires_at)


@dataclass(frozen=True, slots=True)
class Sent:
    """What an application has sent out of turn."""

    connection: str
    text: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """What an application has closed."""

    connection: str
    code: int
    reason: str


class Outbox:
    """Takes what an application sends and closes, and gives each the same receipt.

    Attributes:
        receipt: The next receipts. Change it at any time.
        taken: ``Sent`` and ``Disconnected``, in the order in which they came.
    """

    def __init__(self, receipt: Receipt = Receipt.WRITTEN) -> None:
        self.receipt = receipt
        self.taken: list[Sent | Disconnected] = []

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:  # noqa: ARG002
        self.taken.append(Sent(connection, text))
        return self.receipt

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt:
        self.taken.append(Disconnected(connection, code, reason))
        return self.receipt


@contextmanager
def outbox(gateway: Gateway, receipt: Receipt = Receipt.WRITTEN) -> Iterator[Outbox]:
    """Let ``gateway.send`` and ``gateway.disconnect`` work without a worker, and look on.

    Example::

        with outbox(gateway) as sent:
            await client.send("notify my other window")
        assert sent.taken == [Sent(other_window, "hello")]
    """
    before, gateway._sender = gateway._sender, Outbox(receipt)  # noqa: SLF001
    try:
        yield gateway._sender  # noqa: SLF001
    finally:
        gateway._sender = before  # noqa: SLF001


class Client:
    """One client of an application, without a socket.

    Calls its handlers as a worker would: ``on_connect`` first, then messages in order. What a
    handler raises is raised here, and so is what a worker would say of its answer.

    Example::

        client = Client(gateway, headers={"cookie": "session=1"})
        await client.connect()
        assert await client.send("hello") == "Received:hello"
    """

    def __init__(
        self,
        gateway: Gateway,
        *,
        headers: Mapping[str, str] | None = None,
        query: str = "",
        address: str = "192.0.2.1",
        subprotocols: tuple[str, ...] = (),
    ) -> None:
        self._handlers = gateway.handlers
        self.connection = connection(
            headers=headers, query=query, address=address, subprotocols=subprotocols
        )
        self._number = 0

    async def connect(self) -> str | None:
        """Call ``on_connect``, if there is one. Returns the user.

        ``self.connection`` is then what later handlers see, its ``expires_at`` too. Nothing is
        closed when that time comes.

        Raises:
            Refused: The application refuses this client.
            TypeError: The handler returned something else than a text, None or ``Admit``.
        """
        admit = Admit()
        if self._handlers.on_connect is not None:
            admit = decision(await self._handlers.on_connect(self.connection))
        until = admit.expires_unix_s
        self.connection = replace(self.connection, user=admit.user, expires_at=until)
        return admit.user

    async def send(self, text: str, *, attempt: int = 1) -> str | None:
        """Call ``on_message``. Returns what the client would be sent, None for nothing.

        Args:
            text: The message.
            attempt: Past 1, this is the message before once more, with the same ``message.id``, as
                after the death of the worker that handled it.

        Raises:
            NoHandler: There is no ``on_message``.
            TypeError: The handler returned something else than a text or None.
        """
        if self._handlers.on_message is None:
            raise NoHandler("this gateway has no on_message handler")
        if attempt == 1 or self._number == 0:
            self._number += 1
        message = Message(text, self.connection, f"{self.connection.id}:{self._number}", attempt)
        answer: object = await self._handlers.on_message(message)
        if answer is not None and not isinstance(answer, str):
            kind = type(answer).__name__
            raise TypeError(f"an on_message handler returned {kind}, not str or None")
        return answer

    async def disconnect(self) -> None:
        """Call ``on_disconnect``, if there is one."""
        if self._handlers.on_disconnect is not None:
            await self._handlers.on_disconnect(self.connection)
