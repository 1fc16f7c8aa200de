"""How clients come into channels: by a command of theirs, or because the server wants it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from gateway.channels import permissions
from gateway.close_codes import CHANNEL_LIMIT
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.attempts import Attempts
from gateway.edge.sessions.centrifuge.grants import (
    NO_GRANT,
    GrantedSubscription,
    of_claims,
)
from gateway.edge.sessions.centrifuge.results import as_error, as_raw
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.subscription import (
    ChannelParts,
    Done,
    Outcome,
    Subscription,
)
from gateway.edge.sessions.centrifuge.subscription_tokens import SubscriptionTokens
from gateway.errors import (
    ChannelLimit,
    GatewayError,
)
from gateway.protocol import channel_names
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import Subscribe
from gateway.protocol.centrifuge.refusals import LIMITS
from gateway.protocol.centrifuge.replies import SubscribeResult
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest, HookResult
from gateway.protocol.token_claims import SubscriptionClaims
from gateway.settings.namespaces import ChannelOptions


class Subscribing:
    """Begins and ends subscriptions of the clients of one worker."""

    def __init__(self, parts: ChannelParts, tokens: SubscriptionTokens, attempts: Attempts) -> None:
        self._parts = parts
        self._tokens = tokens
        self._attempts = attempts

    # By a command

    def by_client(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Subscribe,
        answer: Callable[[Answer], None],
    ) -> None:
        """Subscribe a client that asks for it.

        Raises:
            UnknownChannel: Its namespace is not set up.
        """
        channel, user = request.channel, connection.user or ""
        options = self._parts.options_of(channel)
        if request.token:
            coming = self._with_token(session, connection, request, answer)
            self._attempts.begin(coming, answer)
            return
        has_hook = connection.hooks.there(HookKind.SUBSCRIBE, channel)
        if has_hook is None:
            answer(codes.INTERNAL)
        elif has_hook and not channel_names.is_private(channel):
            self._ask_hook(session, connection, request, NO_GRANT, answer)
        else:
            refused = permissions.may_subscribe(options, channel, user=user)
            if refused is not None:
                answer(refused)
            else:
                self._let_in(session, connection, request, NO_GRANT, answer)

    async def _with_token(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Subscribe,
        answer: Callable[[Answer], None],
    ) -> None:
        """What a valid token allows, only a hook may still refuse."""
        claims = await self._tokens.claims(connection, request.channel, request.token)
        if session.connection is None:
            return
        if not isinstance(claims, SubscriptionClaims):
            answer(claims)
            return
        grant = of_claims(claims)
        has_hook = connection.hooks.there(HookKind.SUBSCRIBE, request.channel)
        if has_hook is None:
            answer(codes.INTERNAL)
        elif has_hook:
            self._ask_hook(session, connection, request, grant, answer)
        else:
            self._let_in(session, connection, request, grant, answer)

    def _ask_hook(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Subscribe,
        grant: GrantedSubscription,
        answer: Callable[[Answer], None],
    ) -> None:
        def decided(outcome: HookOutcome) -> None:
            if not isinstance(outcome, HookResult):
                answer(outcome)
            elif outcome.expires_unix_s is not None and outcome.expires_unix_s <= time.time():
                answer(codes.EXPIRED)
            else:
                granted = replace(
                    grant,
                    by_hook=True,
                    info=grant.info if outcome.info is None else outcome.info,
                    data=grant.data if outcome.data is None else outcome.data,
                    expires_unix_s=outcome.expires_unix_s,
                )
                self._let_in(session, connection, request, granted, answer)

        data = bytes(request.data)
        asked = HookRequest(HookKind.SUBSCRIBE, request.channel, data, claims=grant.claims)
        connection.hooks.ask(asked, decided)

    def _let_in(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Subscribe,
        grant: GrantedSubscription,
        answer: Callable[[Answer], None],
    ) -> None:
        user = connection.user or ""
        options = grant.options(self._parts.options_of(request.channel))
        if request.positioned or request.recoverable or request.recover:
            options = permissions.with_positions(options, user=user)
        told = options.force_push_join_leave or (
            request.join_leave and permissions.may_see_members(options, user=user)
        )
        own = request.channel not in session.subscriptions

        def done(outcome: Outcome) -> None:
            result = _result(request, grant, outcome)
            if isinstance(result, Error):
                if own:  # it leaves nothing behind; what the server has begun stays
                    session.end(request.channel)
                answer(result)
                return
            answer(result)
            if grant.expires_unix_s is not None:
                session.ends_at(request.channel, grant.expires_unix_s)

        self._begin(session, connection, request, options, done, join_leave=told, grant=grant)
        begun = session.subscriptions.get(request.channel)
        if begun is not None:
            begun.by_client = True

    # By the server

    def by_server(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Subscribe,
        done: Done,
        grant: GrantedSubscription = NO_GRANT,
    ) -> None:
        """Subscribe a client whatever its namespace allows clients; perhaps it is already.

        One channel too many closes it: the client is not to be without one that it counts on.

        Raises:
            BadChannel: Nothing may be called that.
            UnknownChannel: Its namespace is not set up.
        """
        channel = request.channel
        options = grant.options(self._parts.options_of(channel))
        if channel not in session.subscriptions and len(session.subscriptions) >= LIMITS.channels:
            connection.close(*CHANNEL_LIMIT)
            done(ChannelLimit(f"a connection has {LIMITS.channels} channels at most"))
            return

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, GatewayError):
                session.end(channel)
            elif outcome is not None and channel not in session.subscriptions:
                # It was the client's own, which wanted it otherwise and has ended it.
                self.by_server(session, connection, request, done, grant)
                return
            done(outcome)

        told = options.force_push_join_leave
        self._begin(session, connection, request, options, settled, join_leave=told, grant=grant)

    def _begin(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Subscribe,
        options: ChannelOptions,
        done: Done,
        *,
        join_leave: bool,
        grant: GrantedSubscription,
    ) -> None:
        if session.connection is None:  # it has ended meanwhile, and nobody would end this
            done(None)
            return
        present = session.subscriptions.get(request.channel)
        if present is not None:  # by a command and by the server at once
            present.wait(done)
            return
        subscription = session.subscriptions[request.channel] = Subscription(
            self._parts,
            request,
            options,
            session.client_info(connection, grant.info),
            client=connection.id,
            deliver=session.deliver,
            done=done,
            lost=session.insufficient,
            data=as_raw(grant.data),
            granted=grant.by_hook,
        )
        subscription.begin(join_leave=join_leave)


def _result(
    request: Subscribe, grant: GrantedSubscription, outcome: Outcome
) -> SubscribeResult | Error:
    """What a client is answered that has asked to be subscribed."""
    if not isinstance(outcome, SubscribeResult):
        return codes.INTERNAL if outcome is None else as_error(outcome)
    if request.recover and request.rejects_unrecovered and not outcome.recovered:
        return codes.UNRECOVERABLE_POSITION
    return msgspec.structs.replace(outcome, ttl=grant.ttl_s)
