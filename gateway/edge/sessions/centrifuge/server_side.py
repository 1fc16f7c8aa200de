"""What the server wants of one client's subscriptions: server-side subscribe and unsubscribe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.subscription import Done, Outcome
from gateway.edge.sessions.centrifuge.untold import Untold
from gateway.errors import GatewayError
from gateway.messaging.tell_all import tell_all
from gateway.protocol.centrifuge.codes import BY_SERVER
from gateway.protocol.centrifuge.replies import SubscribeResult
from gateway.protocol.centrifuge.states import ChannelState, State
from gateway.protocol.receipt import Receipt

if TYPE_CHECKING:
    from gateway.edge.sessions.centrifuge.session import CentrifugeSession

Told = Callable[[Receipt | GatewayError], None]


class ServerSide:
    """The calls name the session: it has this, and nothing here holds it.

    Attributes:
        wanted: Channels that were wanted before the client has connected, and whom to tell; None
            while there are none.
        untold: What waits until the client is told of its channel; None before there is any.
    """

    __slots__ = ("untold", "wanted")

    def __init__(self) -> None:
        self.wanted: dict[str, list[Told]] | None = None
        self.untold: Untold | None = None

    def subscribe(
        self, session: CentrifugeSession, connection: OpenConnection, channel: str, done: Told
    ) -> None:
        """Before the client has connected it is only noted."""
        rules = session.rules
        if rules is None or rules.state is not State.CONNECTED:
            if self.wanted is None:
                self.wanted = {}
            self.wanted.setdefault(channel, []).append(done)
            return

        def settled(outcome: Outcome) -> None:
            if isinstance(outcome, SubscribeResult):
                session.do(rules.subscribe(channel, outcome, session.context.now()))
                subscription = session.subscriptions.get(channel)
                undecided = rules.channels.get(channel) is ChannelState.SUBSCRIBING
                if undecided and subscription is not None:
                    self.untold = self.untold or Untold(session.missed)
                    self.untold.hold(channel, subscription)
            done(_receipt(outcome))

        try:
            session.context.requests.subscribe(session, connection, channel, settled)
        except GatewayError as error:
            done(error)

    def unsubscribe(self, session: CentrifugeSession, channel: str, done: Told) -> None:
        tell_all((self.wanted or {}).pop(channel, ()), Receipt.GONE)
        if session.rules is not None:
            session.do(session.rules.unsubscribe(channel, BY_SERVER))
            subscription = session.subscriptions.get(channel)
            if subscription is not None and (
                channel not in session.rules.channels or not subscription.by_client
            ):
                session.end(channel, *BY_SERVER)  # the client has not been told of it yet
        done(Receipt.WRITTEN)

    def take_wanted(self) -> dict[str, Done]:
        """The channels to which the server subscribes a client that connects; whom to tell."""
        return {channel: partial(_tell, told) for channel, told in self._taken().items()}

    def answered(self, session: CentrifugeSession) -> None:
        """The client was told something, after which other things may be told."""
        if session.rules is not None and session.rules.state is State.CONNECTED:
            # What was wanted since the channels of this connect were taken.
            for channel, told in self._taken().items():
                for done in told:
                    if session.connection is None:
                        done(Receipt.GONE)
                    else:
                        self.subscribe(session, session.connection, channel, done)
        if self.untold:
            states = {} if session.rules is None else session.rules.channels
            undecided = {name for name, at in states.items() if at is ChannelState.SUBSCRIBING}
            self.untold.tell(undecided, session.subscriptions, session.deliver)

    def ended(self, channel: str) -> None:
        """A subscription has ended: nothing waits for it any more."""
        if self.untold:
            self.untold.forget(channel)

    def close(self) -> None:
        """The connection has ended."""
        self.untold = None
        tell_all(chain.from_iterable(self._taken().values()), Receipt.GONE)

    def _taken(self) -> dict[str, list[Told]]:
        wanted, self.wanted = self.wanted, None
        return wanted or {}


def _receipt(outcome: Outcome) -> Receipt | GatewayError:
    if isinstance(outcome, GatewayError):
        return outcome
    return Receipt.GONE if outcome is None else Receipt.WRITTEN


def _tell(waiting: list[Told], outcome: Outcome) -> None:
    tell_all(waiting, _receipt(outcome))
