"""What clients of the Centrifuge protocol ask for, done with the parts of this worker."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from gateway.close_codes import BAD_REQUEST, NOT_AVAILABLE, Close
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.asking import Asking
from gateway.edge.sessions.centrifuge.attempts import Attempts
from gateway.edge.sessions.centrifuge.authentication import Authenticates
from gateway.edge.sessions.centrifuge.connecting import Connecting
from gateway.edge.sessions.centrifuge.publishing import Publishing
from gateway.edge.sessions.centrifuge.results import as_error, as_raw
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.subscribing import Subscribing
from gateway.edge.sessions.centrifuge.subscription import ChannelParts, Done
from gateway.edge.sessions.centrifuge.subscription_tokens import SubscriptionTokens
from gateway.errors import GatewayError
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Unsubscribed
from gateway.protocol.centrifuge.commands import (
    Connect,
    History,
    Presence,
    PresenceStats,
    Publish,
    Refresh,
    Request,
    Rpc,
    Send,
    SubRefresh,
    Subscribe,
    Unsubscribe,
)
from gateway.protocol.centrifuge.replies import (
    ConnectResult,
    Empty,
    RpcResult,
)
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.centrifuge.steps import Ask
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest, HookResult
from gateway.tokens.verifier import TokenVerifier

BY_CLIENT: Final = Unsubscribed(0, "")

SERVED: Final[frozenset[type[Request]]] = frozenset(
    {Subscribe, Publish, History, Presence, PresenceStats, Rpc, Send, Refresh, SubRefresh}
)


class ClientRequests:
    """``Requests`` of one worker.

    Args:
        personal_namespace: Where each user has a channel of its own (``server_side_channels``).
    """

    available = SERVED

    def __init__(
        self,
        parts: ChannelParts,
        authentication: Authenticates,
        verifier: TokenVerifier,
        *,
        personal_namespace: str | None = None,
    ) -> None:
        self._attempts = Attempts()
        self._asking = Asking(parts)
        self._publishing = Publishing(parts)
        self._authentication = authentication
        self._tokens = SubscriptionTokens(verifier)
        self._subscribing = Subscribing(parts, self._tokens, self._attempts)
        self._connecting = Connecting(self._subscribing, personal_namespace=personal_namespace)

    def ask(self, session: CentrifugeSession, ask: Ask) -> None:
        connection = session.connection
        if connection is None:
            return
        answer = partial(session.answer, ask.ticket)
        try:
            if isinstance(ask.request, Publish):  # as most are
                self._publishing.publish(session, connection, ask.request, answer)
            else:
                self._ask(session, connection, ask, answer)
        except GatewayError as error:
            answer(as_error(error))

    def _ask(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        ask: Ask,
        answer: Callable[[Answer], None],
    ) -> None:
        match ask.request:
            case Connect() as request:
                self._attempts.begin(self._connect(session, connection, request, answer), answer)
            case Refresh() as refresh:
                coming = self._authentication.refresh(session, connection, refresh)
                self._attempts.begin(_answering(coming, answer), answer)
            case SubRefresh() as sub_refresh:
                coming = self._tokens.refresh(connection, sub_refresh)
                self._attempts.begin(_answering(coming, answer), answer)
            case Subscribe() as request:
                self._subscribing.by_client(session, connection, request, answer)
            case Unsubscribe(channel=channel):
                session.end(channel, *(ask.ended or BY_CLIENT))
                answer(Empty())
            case History() | Presence() | PresenceStats() as question:
                refused = self._asking.refusal(session, connection, question)
                if refused is not None:
                    answer(refused)
                else:
                    coming = self._asking.answer(session, question)
                    self._attempts.begin(_answering(coming, answer), answer)
            case Rpc() | Send() as request:
                _pass_on(connection, request, answer)
            case _:
                answer(codes.NOT_AVAILABLE)

    def subscribe(
        self, session: CentrifugeSession, connection: OpenConnection, channel: str, done: Done
    ) -> None:
        self._subscribing.by_server(session, connection, Subscribe(channel), done)

    async def _connect(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Connect,
        answer: Callable[[Answer], None],
    ) -> None:
        """Let a client in, once it is in the channels that the application and its token name."""
        result = await self._authentication.connect(session, connection, request)
        if isinstance(result, ConnectResult):
            self._connecting.subscribe(session, connection, request, result, answer)
        else:
            answer(result)


def _pass_on(
    connection: OpenConnection, request: Rpc | Send, answer: Callable[[Answer], None]
) -> None:
    """Have the application do what only it knows."""
    if isinstance(request, Rpc):
        _call(connection, request, answer)
    else:
        answer(_sent(connection, request))


def _call(connection: OpenConnection, request: Rpc, answer: Callable[[Answer], None]) -> None:
    """Have a method of the application's called."""
    found = connection.hooks.there(HookKind.RPC, request.method)
    if found is None:
        answer(codes.INTERNAL)
    elif not found:
        others = connection.hooks.there(HookKind.RPC, None)
        answer(codes.METHOD_NOT_FOUND if others else codes.NOT_AVAILABLE)
    else:
        asked = HookRequest(HookKind.RPC, request.method, bytes(request.data))
        connection.hooks.ask(asked, lambda outcome: answer(_called(outcome)))


def _sent(connection: OpenConnection, request: Send) -> Empty | Close:
    """Have a message handled as those of text sockets are, and count it as one of them."""
    if not connection.wants_messages:
        return NOT_AVAILABLE
    try:
        text = request.text()
    except ValueError:
        return BAD_REQUEST
    connection.dispatch(text, len(text.encode()))
    return Empty()


def _called(outcome: HookOutcome) -> Answer:
    if isinstance(outcome, HookResult):
        return RpcResult(as_raw(outcome.data or b""))
    return outcome


async def _answering(asked: Coroutine[Any, Any, Answer], answer: Callable[[Answer], None]) -> None:
    answer(await asked)
