"""Clients publish, as their namespace or a hook of the application allows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from gateway.channel_broker.base import Stored
from gateway.channels import permissions
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.results import as_error
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.subscription import ChannelParts
from gateway.errors import GatewayError
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.commands import Publish
from gateway.protocol.centrifuge.replies import EMPTY
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.channel_messages import MAX_PUBLICATION_BYTES, ClientInfo
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest, HookResult
from gateway.protocol.json_depth import LEAST_TOO_DEEP_BYTES, NestedTooDeeply, check_depth


class Publishing:
    """Answers ``publish`` of the clients of one worker."""

    def __init__(self, parts: ChannelParts) -> None:
        self._parts = parts

    def publish(
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
        data = bytes(request.data)  # embeddable, as it was read from the line of a command
        if LEAST_TOO_DEEP_BYTES <= len(data) <= MAX_PUBLICATION_BYTES:
            try:
                check_depth(data)
            except NestedTooDeeply:  # who has the history read could not
                answer(codes.BAD_REQUEST)
                return
        if has_hook:
            asked = HookRequest(HookKind.PUBLISH, channel, data, info=info.chan_info)
            done = partial(self._publish_decided, channel, data, info, answer)
            connection.hooks.ask(asked, done)
        else:
            self._store(channel, data, info, answer)

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


def _when_done(stored: asyncio.Future[Stored], answer: Callable[[Answer], None]) -> None:
    """Answer a publish once it is stored."""

    def told(done: asyncio.Future[Stored]) -> None:
        error = codes.INTERNAL if done.cancelled() else done.exception()
        if error is None:
            answer(EMPTY)
        else:
            answer(as_error(error) if isinstance(error, GatewayError) else codes.INTERNAL)

    stored.add_done_callback(told)
