"""One client of an application in a test: what it does is told to the handlers."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from gateway import arguments
from gateway.app import Gateway
from gateway.close_codes import NORMAL
from gateway.errors import GatewayError
from gateway.handlers.definitions import Admit, Connection, Message, decision, reply
from gateway.handlers.expiry import unix_s
from gateway.handlers.hook_requests import Grant, Json, given, read, result
from gateway.protocol.conversation import MAX_ATTEMPTS
from gateway.protocol.hooks import HookKind, HookRequest, HookResult
from gateway.protocol.ids import ConnectionId
from gateway.protocol.json_values import json_of
from gateway.testing.outbox import Outbox

_serial = itertools.count()


class NoHandler(GatewayError):
    """The application has no handler of the kind that was called."""

    code = "no_handler"


class NotConnected(GatewayError):
    """A client of a test that is not connected cannot send."""

    code = "not_connected"


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
    if expires_at is not None:
        expires_at = unix_s(expires_at)
    return Connection(
        name,
        None if user is None else arguments.text("user", user, " or None"),
        {key.lower(): value for key, value in arguments.mapping("headers", headers).items()},
        arguments.text("query", query),
        arguments.text("address", address),
        tuple(arguments.texts("subprotocols", subprotocols, "name")),
        expires_at,
    )


class Client:
    """One client of an application, without a socket.

    Calls its handlers as a worker would: ``on_connect`` first, then messages in order. What a
    handler raises is raised here, and so is what a worker would say of its answer.

    Example::

        client = Client(gateway, headers={"cookie": "session=1"})
        await client.connect()
        assert await client.send("hello") == "Received:hello"

    Attributes:
        connection: As handlers see it.
        received: What it was sent out of turn, within ``outbox``. Answers are not among it.
        closed: Code and reason, once it was closed; None before.
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
        self._gateway = arguments.instance("gateway", gateway, Gateway)
        self._handlers = gateway.handlers
        self.connection = connection(
            headers=headers, query=query, address=address, subprotocols=subprotocols
        )
        self._number = 0
        self._connected = False
        self.received: list[str] = []
        self.closed: tuple[int, str] | None = None

    @property
    def connected(self) -> bool:
        """Whether it is there: it has connected, and nobody has closed it."""
        return self._connected and self.closed is None

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
            handler = self._handlers.on_connect
            admit = decision(await handler(self.connection), handler)
        until = admit.expires_unix_s
        self.connection = replace(self.connection, user=admit.user, expires_at=until)
        self._enter()
        if (sent := self._outbox()) is not None:
            for channel in admit.channels:
                sent._channels.subscribe(self.connection.id, self, channel)  # noqa: SLF001
        return admit.user

    async def send(self, text: str, *, attempt: int = 1) -> str | None:
        """Call ``on_message``. Returns what the client would be sent, None for nothing.

        Args:
            text: The message; of what an SDK sends, its JSON.
            attempt: Past 1, this is the message before once more, with the same ``message.id``, as
                after the death of the worker that handled it.

        Raises:
            NoHandler: There is no ``on_message``.
            NotConnected: There is an ``on_connect``, and it was not called; or it is closed.
            TypeError: The handler returned something else than a text or None.
        """
        text, attempt = arguments.text("text", text), _attempt(attempt)
        if self._handlers.on_message is None:
            raise NoHandler("this gateway has no on_message handler")
        self._check_connected()
        message = Message(text, self.connection, self._event_id(attempt), attempt)
        return reply(await self._handlers.on_message(message), self._handlers.on_message)

    async def subscribe(
        self,
        channel: str,
        data: Json = None,
        *,
        token_claims: Mapping[str, Json] | None = None,
        attempt: int = 1,
    ) -> Grant:
        """Call the ``on_subscribe`` that decides on ``channel``. Returns what it grants.

        What is JSON is written and read, here and in the other hooks, as on its way to a worker.

        Args:
            channel: Any name.
            data: What the client gives with that.
            token_claims: Of its subscription token.
            attempt: As in ``send``, here and in the other hooks.

        Raises:
            Denied: The application denies it.
            Refused: The application closes the connection.
            NoHandler: There is no hook for that: the channel's namespace decides.
            NotConnected: As of ``send``.
            TypeError: The hook returned what cannot be sent.
        """
        request = HookRequest(
            HookKind.SUBSCRIBE,
            arguments.text("channel", channel),
            _given("data", data),
            _claims(token_claims),
        )
        granted = await self._ask(request, attempt)
        return Grant(read(granted.info), read(granted.data), granted.expires_unix_s)

    async def publish(
        self, channel: str, data: Json, *, info: Json = None, attempt: int = 1
    ) -> Json:
        """Call the ``on_publish`` that decides on ``channel``. Returns what would be published.

        Raises:
            Denied, Refused, NoHandler, NotConnected, TypeError: As of ``subscribe``.
        """
        request = HookRequest(
            HookKind.PUBLISH,
            arguments.text("channel", channel),
            json_of("data", data),
            info=_given("info", info),
        )
        changed = (await self._ask(request, attempt)).data
        return read(request.data if changed is None else changed)

    async def unsubscribe(
        self, channel: str, code: int = 0, reason: str = "", *, attempt: int = 1
    ) -> None:
        """Call the ``on_unsubscribe`` for ``channel``.

        Raises:
            NoHandler: There is none for that.
        """
        request = HookRequest(
            HookKind.UNSUBSCRIBE,
            arguments.text("channel", channel),
            code=arguments.whole("code", code),
            reason=arguments.text("reason", reason),
        )
        await self._ask(request, attempt)

    async def call(self, method: str, data: Json = None, *, attempt: int = 1) -> Json:
        """Call the ``on_rpc`` of ``method``. Returns the result.

        Raises:
            Denied, Refused, NoHandler, NotConnected, TypeError: As of ``subscribe``.
        """
        name = arguments.text("method", method)
        request = HookRequest(HookKind.RPC, name, _given("data", data))
        return read((await self._ask(request, attempt)).data)

    async def _ask(self, request: HookRequest, attempt: int) -> HookResult:
        kind, name, attempt = request.kind, request.name, _attempt(attempt)
        hook = self._handlers.hooks.find(kind, name)
        if hook is None:
            raise NoHandler(f"this gateway has no on_{kind.value} handler for {name!r}")
        if kind is not HookKind.UNSUBSCRIBE:
            self._check_connected()
        asked = given(request, self.connection, self._event_id(attempt), attempt)
        return result(kind, await hook(asked), hook)

    def _event_id(self, attempt: int) -> str:
        """The next id, or the one before once more."""
        if attempt == 1 or self._number == 0:
            self._number += 1
        return f"{self.connection.id}:{self._number}"

    async def disconnect(self) -> None:
        """Leave: call ``on_disconnect``, if there is one. Also after the application has closed it.

        Nobody else calls it.
        """
        self.closed = self.closed or NORMAL
        if self._handlers.on_disconnect is not None:
            await self._handlers.on_disconnect(self.connection)

    def _check_connected(self) -> None:
        if self.closed is not None:
            code, reason = self.closed
            raise NotConnected(f"this client is closed, with {code} {reason}")
        if not self._connected:
            if self._handlers.on_connect is not None:
                raise NotConnected(
                    "this client is not connected, and so nobody knows its user: "
                    "`await client.connect()` calls on_connect first"
                )
            self._enter()  # nobody need be asked

    def _enter(self) -> None:
        self._connected = True
        if (sent := self._outbox()) is not None:
            sent._join(self)  # noqa: SLF001

    def _outbox(self) -> Outbox | None:
        requests_to_users = self._gateway._requests_to_users  # noqa: SLF001
        sender = None if requests_to_users is None else requests_to_users.sender
        return sender if isinstance(sender, Outbox) else None


def _attempt(attempt: object) -> int:
    return arguments.within("attempt", attempt, 1, MAX_ATTEMPTS)


def _given(name: str, value: Json) -> bytes:
    """As JSON, or empty for what a client does not give."""
    return b"" if value is None else json_of(name, value)


def _claims(given: object) -> bytes:
    if given is not None and not isinstance(given, Mapping):
        arguments.instance("token_claims", given, dict, "a mapping or None")
    return _given("token_claims", given)
