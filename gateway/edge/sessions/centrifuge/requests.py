"""What clients of the Centrifuge protocol ask for, done with the parts of this worker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Final

from gateway.channel_broker.base import Stored
from gateway.channels import permissions
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.authentication import Authentication
from gateway.edge.sessions.centrifuge.results import as_error, as_info, as_raw, history_result
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.subscribing import Subscribing
from gateway.edge.sessions.centrifuge.subscription import ChannelParts, Done
from gateway.errors import GatewayError
from gateway.log import get_logger
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error, Unsubscribed
from gateway.protocol.centrifuge.commands import (
    Connect,
    History,
    Presence,
    PresenceStats,
    Publish,
    Refresh,
    Request,
    Rpc,
    SubRefresh,
    Subscribe,
    Unsubscribe,
)
from gateway.protocol.centrifuge.replies import (
    ConnectResult,
    Empty,
    NotJson,
    PresenceResult,
    PresenceStatsResult,
    RpcResult,
    embeddable,
)
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.centrifuge.steps import Ask
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.channel_position import Position
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest, HookResult
from gateway.tokens.verifier import TokenVerifier

log = get_logger(__name__)

BY_CLIENT: Final = Unsubscribed(0, "")

SERVED: Final[frozenset[type[Request]]] = frozenset(
    {Subscribe, Publish, History, Presence, PresenceStats, Rpc, Refresh, SubRefresh}
)


class ClientRequests:
    """``Requests`` of one worker."""

    available = SERVED

    def __init__(
        self, parts: ChannelParts, authentication: Authentication, verifier: TokenVerifier
    ) -> None:
        self._parts = parts
        self._authentication = authentication
        self._subscribing = Subscribing(parts, verifier)
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, session: CentrifugeSession, ask: Ask) -> None:
        connection = session.connection
        if connection is None:
            return
        answer = partial(session.answer, ask.ticket)
        try:
            self._ask(session, connection, ask, answer)
        except GatewayError as error:
            answer(as_error(error))

    def _ask(  # noqa: C901 (a row for each command)
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        ask: Ask,
        answer: Callable[[Answer], None],
    ) -> None:
        match ask.request:
            case Connect() as request:
                self._later(self._connect(session, connection, request, answer), answer)
            case Refresh() as refresh:
                coming = self._authentication.refresh(session, connection, refresh)
                self._later(_answering(coming, answer), answer)
            case SubRefresh() as sub_refresh:
                coming = self._subscribing.refresh(connection, sub_refresh)
                self._later(_answering(coming, answer), answer)
            case Subscribe() as request:
                self._subscribing.by_client(session, connection, request, answer)
            case Unsubscribe(channel=channel):
                session.end(channel, *(ask.ended or BY_CLIENT))
                answer(Empty())
            case Publish() as request:
                self._publish(session, connection, request, answer)
            case History() as request:
                self._history(session, connection, request, answer)
            case Presence(channel=channel):
                refused = self._may_ask_presence(session, connection, channel)
                self._unless(refused, answer, lambda: self._members(channel))
            case PresenceStats(channel=channel):
                refused = self._may_ask_presence(session, connection, channel)
                self._unless(refused, answer, lambda: self._stats(channel))
            case Rpc() as request:
                _call(connection, request, answer)
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
            self._subscribing.with_connect(session, connection, request, result, answer)
        else:
            answer(result)

    # Publishing

    def _publish(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Publish,
        answer: Callable[[Answer], None],
    ) -> None:
        channel, user = request.channel, connection.user or ""
        subscription = session.subscriptions.get(channel)
        subscribed = subscription is not None and subscription.live
        options = self._parts.options_of(channel)
        has_hook = connection.hooks.there(HookKind.PUBLISH, channel)
        if has_hook is None:
            answer(codes.INTERNAL)
            return
        refused = permissions.may_publish(options, user=user, subscribed=subscribed)
        if refused is not None and not has_hook:
            answer(refused)
            return
        info = session.client_info(connection) if subscription is None else subscription.info
        try:
            data = embeddable(bytes(request.data))
        except NotJson:
            answer(codes.BAD_REQUEST)
            return
        if has_hook:
            asked = HookRequest(HookKind.PUBLISH, channel, bytes(data), info=info.chan_info)
            done = partial(self._publish_decided, channel, bytes(data), info, answer)
            connection.hooks.ask(asked, done)
        else:
            self._store(channel, bytes(data), info, answer)

    def _publish_decided(
        self,
        channel: str,
        data: bytes,
        info: ClientInfo,
        answer: Callable[[Answer], None],
        outcome: HookOutcome,
    ) -> None:
        if isinstance(outcome, HookResult):
            self._store(channel, data if outcome.data is None else outcome.data, info, answer)
        else:
            answer(outcome)

    def _store(
        self, channel: str, data: bytes, info: ClientInfo, answer: Callable[[Answer], None]
    ) -> None:
        try:
            stored = self._parts.publisher.publish(channel, data, info=info)
        except GatewayError as error:
            answer(as_error(error))
        else:
            _when_done(stored, answer)

    # Asking

    def _history(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: History,
        answer: Callable[[Answer], None],
    ) -> None:
        channel = request.channel
        refused = permissions.may_ask_history(
            self._parts.options_of(channel),
            user=connection.user or "",
            subscribed=_has_subscribed(session, channel),
        )
        self._unless(refused, answer, lambda: self._page(request))

    async def _page(self, request: History) -> Answer:
        since = request.since
        page = await self._parts.publisher.page(
            request.channel,
            limit=request.limit,
            since=None if since is None else Position(since.epoch, since.offset),
            reverse=request.reverse,
        )
        return history_result(page)

    def _may_ask_presence(
        self, session: CentrifugeSession, connection: OpenConnection, channel: str
    ) -> Error | None:
        return permissions.may_ask_presence(
            self._parts.options_of(channel),
            user=connection.user or "",
            subscribed=_has_subscribed(session, channel),
        )

    async def _members(self, channel: str) -> Answer:
        if self._parts.presence is None:
            return codes.NOT_AVAILABLE
        members = await self._parts.presence.members(channel)
        return PresenceResult({client: as_info(info) for client, info in members.items()})

    async def _stats(self, channel: str) -> Answer:
        if self._parts.presence is None:
            return codes.NOT_AVAILABLE
        stats = await self._parts.presence.stats(channel)
        return PresenceStatsResult(stats.clients, stats.users)

    # Waiting

    def _unless(
        self,
        refused: Error | None,
        answer: Callable[[Answer], None],
        ask: Callable[[], Coroutine[Any, Any, Answer]],
    ) -> None:
        if refused is not None:
            answer(refused)
            return
        self._later(_answering(ask(), answer), answer)

    def _later(self, coming: Coroutine[Any, Any, None], answer: Callable[[Answer], None]) -> None:
        task = asyncio.create_task(_attempt(coming, answer), name="client request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


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


def _called(outcome: HookOutcome) -> Answer:
    if isinstance(outcome, HookResult):
        return RpcResult(as_raw(outcome.data or b""))
    return outcome


def _when_done(stored: asyncio.Future[Stored], answer: Callable[[Answer], None]) -> None:
    """Answer a publish once it is stored."""

    def told(done: asyncio.Future[Stored]) -> None:
        error = codes.INTERNAL if done.cancelled() else done.exception()
        if error is None:
            answer(Empty())
        else:
            answer(as_error(error) if isinstance(error, GatewayError) else codes.INTERNAL)

    stored.add_done_callback(told)


def _has_subscribed(session: CentrifugeSession, channel: str) -> bool:
    subscription = session.subscriptions.get(channel)
    return subscription is not None and subscription.live


async def _answering(asked: Coroutine[Any, Any, Answer], answer: Callable[[Answer], None]) -> None:
    answer(await asked)


async def _attempt(coming: Coroutine[Any, Any, None], answer: Callable[[Answer], None]) -> None:
    """Who is not answered because it fails is answered that it shall try again."""
    try:
        await coming
    except GatewayError as error:
        answer(as_error(error))
    except asyncio.CancelledError:
        answer(codes.INTERNAL)
        raise
    except Exception:
        log.exception("request failed")
        answer(codes.INTERNAL)
