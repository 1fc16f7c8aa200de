"""What clients ask about channels: their history, and who is there."""

from __future__ import annotations

import asyncio

from gateway.channels import permissions
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.results import as_info, history_result
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.subscription import ChannelParts
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import History, Presence, PresenceStats
from gateway.protocol.centrifuge.refusals import LIMITS
from gateway.protocol.centrifuge.replies import PresenceResult, PresenceStatsResult
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.channel_position import Position

Question = History | Presence | PresenceStats


class Asking:
    """Answers the questions of the clients of one worker."""

    def __init__(self, parts: ChannelParts) -> None:
        self._parts = parts

    def refusal(
        self, session: CentrifugeSession, connection: OpenConnection, question: Question
    ) -> Error | None:
        """Why this client may not ask that.

        Raises:
            UnknownChannel: Its namespace is not set up.
        """
        options = self._parts.options_of(question.channel)
        subscription = session.subscriptions.get(question.channel)
        may_ask = (
            permissions.may_ask_history
            if isinstance(question, History)
            else permissions.may_ask_presence
        )
        return may_ask(
            options,
            user=connection.user or "",
            subscribed=subscription is not None and subscription.live,
        )

    async def answer(self, session: CentrifugeSession, question: Question) -> Answer:
        """The answer. One question of a client at a time: a few bytes may ask for 20 MB, and others
        ask as well.

        Raises:
            GatewayError: There is none.
        """
        async with session.turn:
            if session.connection is None:
                return codes.INTERNAL  # nobody hears it
            return await self._look_up(session, question)

    async def _look_up(self, session: CentrifugeSession, question: Question) -> Answer:
        match question:
            case History():
                return await self._page(session, question)
            case Presence(channel=channel):
                return await self._members(channel)
            case PresenceStats(channel=channel):
                return await self._stats(channel)

    async def _page(self, session: CentrifugeSession, request: History) -> Answer:
        """Cut short when the client goes: what waits for room is not read for nobody."""
        since = request.since
        session.reading = asyncio.current_task()
        try:
            page = await self._parts.publisher.page(
                request.channel,
                limit=request.limit,
                since=None if since is None else Position(since.epoch, since.offset),
                reverse=request.reverse,
            )
        finally:
            session.reading = None
        return history_result(page)

    async def _members(self, channel: str) -> Answer:
        most = LIMITS.presence_members
        members = await self._parts.presence_questions.members(channel, most=most)
        return PresenceResult({client: as_info(info) for client, info in members.items()})

    async def _stats(self, channel: str) -> Answer:
        stats = await self._parts.presence_questions.stats(channel)
        return PresenceStatsResult(stats.clients, stats.users)
