"""To which channels a client is subscribed as it connects."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec

from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.grants import NO_GRANT, GrantedSubscription, by_server
from gateway.edge.sessions.centrifuge.results import as_error
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.subscribing import Subscribing
from gateway.edge.sessions.centrifuge.subscription import Done, Outcome
from gateway.errors import GatewayError
from gateway.protocol.centrifuge.commands import Connect, Subscribe
from gateway.protocol.centrifuge.replies import ConnectResult, SubscribeResult
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.server_side_channels import server_side_channels
from gateway.protocol.token_claims import ConnectionClaims


class Connecting:
    """Answers ``connect`` of clients that are let in.

    Args:
        personal_namespace: Where each user has a channel of its own (``server_side_channels``).
    """

    def __init__(self, subscribing: Subscribing, *, personal_namespace: str | None) -> None:
        self._subscribing = subscribing
        self._personal_namespace = personal_namespace

    def subscribe(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        request: Connect,
        result: ConnectResult,
        answer: Callable[[Answer], None],
    ) -> None:
        """Answer a connect once its client is in the channels that the application and its token
        name; from the positions on that it says.
        """
        grants = self._grants(session, connection)
        channels = dict.fromkeys(grants, _nobody) | session.server_side.take_wanted()
        if not channels:
            answer(result)
            return
        results: dict[str, SubscribeResult] = {}
        waiting = set(channels)

        def done(channel: str, outcome: Outcome) -> None:
            if channel not in waiting:
                return
            waiting.discard(channel)
            channels[channel](outcome)
            if isinstance(outcome, SubscribeResult):
                results[channel] = outcome
            elif isinstance(outcome, GatewayError):
                answer(as_error(outcome))
                for each in channels:
                    session.end(each)
                    done(each, None)  # also of those that were not begun
            if not waiting:  # of what the server has ended meanwhile, nothing is said
                stays = {
                    name: sub for name, sub in results.items() if name in session.subscriptions
                }
                answer(msgspec.structs.replace(result, subs=stays))

        for channel in channels:
            if channel in waiting:  # otherwise it is refused already
                wanted = _from_position(channel, request.subs.get(channel))
                grant = grants.get(channel, NO_GRANT)
                self._begin(session, connection, wanted, partial(done, channel), grant)

    def _begin(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        wanted: Subscribe,
        done: Done,
        grant: GrantedSubscription,
    ) -> None:
        try:
            self._subscribing.by_server(session, connection, wanted, done, grant)
        except GatewayError as error:
            done(error)

    def _grants(
        self, session: CentrifugeSession, connection: OpenConnection
    ) -> dict[str, GrantedSubscription]:
        """What its token names, and the channel of its user."""
        claims = session.claims or ConnectionClaims(user=connection.user or "")
        channels = server_side_channels(claims, personal_namespace=self._personal_namespace)
        return {channel: by_server(said) for channel, said in channels.items()}


def _nobody(outcome: Outcome) -> None:
    """Nobody waits for it but the connect."""


def _from_position(channel: str, position: Subscribe | None) -> Subscribe:
    """Only what a position consists of is a client's to say of what the server subscribes it to."""
    if position is None:
        return Subscribe(channel)
    return Subscribe(
        channel,
        recover=position.recover,
        offset=position.offset,
        epoch=position.epoch,
        positioned=position.positioned,
        recoverable=position.recoverable,
    )
