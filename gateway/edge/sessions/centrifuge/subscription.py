"""One client in one channel, from its wish to subscribe to the end of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.channels.channels import Channels
from gateway.channels.presence import ChannelPresence
from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import Publisher
from gateway.channels.subscriber import Encoding
from gateway.edge.sessions.centrifuge.results import subscribe_result, wish_of
from gateway.errors import BrokerUnavailable, GatewayError
from gateway.log import get_logger
from gateway.messaging.tell_all import tell_all
from gateway.protocol.centrifuge.commands import NO_DATA, Subscribe
from gateway.protocol.centrifuge.replies import SubscribeResult
from gateway.protocol.channel_messages import ClientInfo
from gateway.protocol.channel_steps import Reply
from gateway.protocol.ids import ConnectionId
from gateway.protocol.run import Run
from gateway.settings.namespaces import ChannelOptions

log = get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelParts:
    """What subscriptions work with.

    Attributes:
        options_of: Raises BadChannel and UnknownChannel.
    """

    channels: Channels
    publisher: Publisher
    presence: ChannelPresence
    presence_questions: PresenceQuestions
    options_of: Callable[[str], ChannelOptions]


# What has become of a wish to subscribe; None: it was ended before.
Outcome = SubscribeResult | GatewayError | None
Done = Callable[[Outcome], None]


class Subscription:
    """A ``gateway.channels.subscriber.Subscriber``. First it is present, then it subscribes.

    Whoever begins one ends it, also when it could not be.

    Args:
        info: What others are shown of it.
        deliver: Sends pushes to the client, behind its reply.
        done: Told once.
        lost: Publications are missing. It is to be ended.
        data: What the client is told with its result.
        granted: A hook of the application has let it in, and is to hear of its end.

    Attributes:
        by_client: A command of the client has begun it, or waits for it.
    """

    __slots__ = (
        "_data", "_ended", "_lost", "_parts", "_request", "_result", "_waiting", "by_client",
        "deliver", "granted", "id", "info", "options",
    )  # fmt: skip

    encoding: Final = Encoding.CENTRIFUGE_JSON

    def __init__(
        self,
        parts: ChannelParts,
        request: Subscribe,
        options: ChannelOptions,
        info: ClientInfo,
        *,
        client: ConnectionId,
        deliver: Callable[[Run], None],
        done: Done,
        lost: Callable[[str], None],
        data: msgspec.Raw = NO_DATA,
        granted: bool = False,
    ) -> None:
        self.granted = granted
        self.by_client = False
        self._data = data
        self.id = client
        self.info = info
        self.options = options
        self.deliver = deliver
        self._parts = parts
        self._request = request
        self._result: SubscribeResult | None = None
        self._waiting = [done]
        self._lost = lost
        self._ended = False

    @property
    def live(self) -> bool:
        """It has subscribed, and has been told so."""
        return self._result is not None and not self._ended

    def begin(self, *, join_leave: bool) -> None:
        """Subscribe. ``join_leave``: tell it who joins and leaves."""
        try:
            self._enter(join_leave=join_leave)
        except Exception as error:
            self._fault(error)

    def _enter(self, *, join_leave: bool) -> None:
        entering = self._parts.presence.enter(self._request.channel, self.info, self.options)
        if entering.done():
            self._entered(entering, join_leave=join_leave)
        else:
            entering.add_done_callback(lambda it: self._entered(it, join_leave=join_leave))

    def _entered(self, entering: asyncio.Future[None], *, join_leave: bool) -> None:
        if self._ended:
            return
        if entering.cancelled():
            self._settle(BrokerUnavailable("it is not waited for"))
            return
        try:
            entering.result()
            self._subscribe(join_leave=join_leave)
        except Exception as error:
            self._fault(error)

    def _fault(self, error: Exception) -> None:
        """It cannot be subscribed: whoever waits for it is told so, and ends it."""
        if not isinstance(error, GatewayError):
            log.error("subscription failed", channel=self._request.channel, exc_info=error)
            error = BrokerUnavailable(str(error))
        self._settle(error)

    def _subscribe(self, *, join_leave: bool) -> None:
        request = self._request
        self._parts.channels.subscribe(
            self, request.channel, wish_of(request, self.options), join_leave=join_leave
        )

    def wait(self, done: Done) -> None:
        """Tell ``done`` too: it wants what is under way, or done."""
        if self._result is not None:
            done(self._result)
        else:
            self._waiting.append(done)

    def _settle(self, outcome: Outcome) -> None:
        if isinstance(outcome, SubscribeResult):
            self._result = outcome
        waiting, self._waiting = self._waiting, []
        tell_all(waiting, outcome)

    # Subscriber

    def subscribed(self, channel: str, reply: Reply) -> None:
        try:
            result = subscribe_result(self._request, self.options, reply, self._data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._settle(BrokerUnavailable("what was missed cannot be read"))
            return
        except Exception as error:
            self._fault(error)
            return
        self._settle(result)
        if self.live:
            self._parts.presence.joined(channel, self.id)

    def not_subscribed(self, channel: str, error: GatewayError) -> None:  # noqa: ARG002
        self._settle(error)

    def insufficient(self, channel: str) -> None:
        if not self._ended:
            self._lost(channel)

    def left(self, channel: str) -> None:
        """Whoever asked for it knows."""

    # The end

    def end(self) -> None:
        """Unsubscribe, if that has not been done; nobody is to see it any more."""
        channel = self._request.channel
        if self._ended:
            return
        self._ended = True
        self._parts.channels.unsubscribe(self.id, channel)
        self._settle(None)
        self._parts.presence.leave(channel, self.id)
