"""Clients of channels: those who subscribe, and those who publish."""

from __future__ import annotations

import contextlib
import random
import time
from functools import partial
from typing import Any, Final

import gevent

from loadtest.checker import Fault, Left, Line
from loadtest.ledger import Reply, Subscription, publication
from loadtest.stands.own import NAMESPACE
from loadtest.users.centrifuge import INSUFFICIENT, PATH, CentrifugeClient, Message
from loadtest.users.gateway import GatewayUser
from loadtest.users.socket import LOST, ClientSocket, Closed

AGAIN_S: Final = 0.5  # after a refusal that says so, at most
PUBLISHED_S: Final = 1.0  # what the last publisher sent has come to the broker by then
TOP_AGAIN_S: Final = 0.5


def channel_of(number: int) -> str:
    return f"{NAMESPACE}:{number}"


class ChannelUser(GatewayUser):
    """A connection of the Centrifuge protocol."""

    abstract = True
    path = PATH
    subprotocols = ()
    client: CentrifugeClient | None = None

    def opened(self, socket: ClientSocket) -> None:
        self.client = CentrifugeClient(socket, partial(self.generator.count, "commands"))
        super().opened(socket)

    @property
    def channels(self) -> int:
        return int(self.generator.orders.get("channels", 0))

    def read(self, socket: ClientSocket) -> Closed:
        client = self.client
        assert client is not None
        while not self.channels and not self.leaving:
            gevent.sleep(0.05)  # the first order says how many
        try:
            self.greet(client)
            while not isinstance(messages := client.receive(), Closed):
                for message in messages:
                    if not self.leaving:  # else it was judged
                        self.hear(client, message)
        except LOST:
            socket.drop()
            return Closed(1006, "")
        return messages

    def greet(self, client: CentrifugeClient) -> None:
        client.ask("connect", name="loadtest")

    def hear(self, client: CentrifugeClient, message: Message) -> None:
        """One reply or push."""

    def failed(self, command: str, error: Message) -> None:
        """A command was answered with an error that nothing allows for."""
        answer = f"{error.get('code')} to {command} ({error.get('message')})"
        self.generator.failed(answer, f"{self.name}, {command}: {error}")


class Subscriber(ChannelUser):
    """Subscribes to one channel, and comes back where it was."""

    abstract = True

    def on_start(self) -> None:
        self.subscription: Subscription | None = None
        self._in_channel = False
        self._asked = 0
        self._top_asked = 0
        self._top: tuple[str, int] | None = None
        self._ended_s: float | None = None
        self._gone_s: float | None = None
        super().on_start()

    @property
    def connected(self) -> bool:
        return self._in_channel and super().connected

    @property
    def rate(self) -> float:
        return 0.0

    @property
    def unanswered(self) -> int:
        """Once all is published: what is between here and the newest publication."""
        if self.subscription is None or self._ended_s is None:
            return 0
        if self._top is None:
            return 1
        epoch, offset = self._top
        return max(0, offset - self.subscription.offset) if epoch == self.subscription.epoch else 0

    def obey(self, order: dict[str, Any]) -> None:
        if order["end"] and self._ended_s is None:
            self._ended_s = time.monotonic()
            gevent.spawn_later(PUBLISHED_S, self._ask_top)

    def _ask_top(self) -> None:
        """Which is the newest publication? Asked again, should the connection end meanwhile."""
        while not self.leaving and self._top is None:
            if self._in_channel and self.client is not None and self.subscription is not None:
                with contextlib.suppress(*LOST):  # whoever reads sees it too
                    self._top_asked = self.client.ask("history", channel=self.subscription.channel)
            gevent.sleep(TOP_AGAIN_S)

    def greet(self, client: CentrifugeClient) -> None:
        super().greet(client)
        if self.subscription is None:
            number = int(self.name.rpartition("-")[2]) % self.channels
            history = int(self.generator.orders.get("history", 0))
            self.subscription = Subscription(self.name, channel_of(number), history)
        self._subscribe(client, self.subscription)

    def _subscribe(self, client: CentrifugeClient, subscription: Subscription) -> None:
        fields: dict[str, Any] = {"positioned": True, "recoverable": True}
        if subscription.begun:
            fields |= {"recover": True, "epoch": subscription.epoch, "offset": subscription.offset}
        self._asked = client.ask("subscribe", channel=subscription.channel, **fields)

    def hear(self, client: CentrifugeClient, message: Message) -> None:
        subscription = self.subscription
        assert subscription is not None
        if "push" in message:
            self._pushed(client, subscription, message["push"])
        elif message.get("id") == self._asked:
            if "error" in message:
                self._refuse(client, subscription, message["error"])
            else:
                self._subscribed(subscription, message["subscribe"])
        elif "history" in message and message.get("id") == self._top_asked:
            self._top = (message["history"]["epoch"], message["history"].get("offset", 0))
        elif "error" in message and message.get("id") == self._top_asked:
            self._top = (subscription.epoch, subscription.offset)
            self.generator.count("tops unknown")
        elif "error" in message:
            self.failed("connect", message["error"])

    def _pushed(self, client: CentrifugeClient, subscription: Subscription, push: Message) -> None:
        if "pub" in push:
            self.generator.count("pushed live")
            self._publication(subscription, push.get("channel", ""), push["pub"])
        elif "unsubscribe" in push and push.get("channel") == subscription.channel:
            code = push["unsubscribe"]["code"]
            self.generator.count(f"unsubscribed {code}")
            self._interrupted()
            if code >= INSUFFICIENT:
                self._subscribe(client, subscription)

    def _publication(self, subscription: Subscription, channel: str, pub: Message) -> None:
        self.generator.count("received")
        text, offset = str(pub.get("data", "")), int(pub.get("offset", 0))
        heard = subscription.hear(channel, offset, text, time.time())
        if heard.fault is not None:
            self.generator.fault(heard.fault, heard.detail)
            return
        self.generator.count("delivered")
        self.generator.timed("delivery", heard.latency_s, size=len(text))

    def _subscribed(self, subscription: Subscription, found: Message) -> None:
        publications = found.get("publications", [])
        reply = Reply(
            epoch=found.get("epoch", ""),
            offset=found.get("offset", 0),
            was_recovering=found.get("was_recovering", False),
            recovered=found.get("recovered", False),
            publications=len(publications),
        )
        if not found.get("recoverable"):
            why = "it cannot be recovered"
            self.generator.failed(why, f"{self.name}, {subscription.channel}: {why}")
        again, declared = subscription.begun, subscription.books.declared
        heard = subscription.subscribed(reply)
        if heard.fault is not None:
            self.generator.fault(heard.fault, heard.detail)
        if again:
            self.generator.count("recovered" if reply.recovered else "not recovered")
            self.generator.count("declared missing", subscription.books.declared - declared)
        for pub in publications:
            self._publication(subscription, subscription.channel, pub)
        self._in_channel = True
        if self._gone_s is not None:
            self.generator.timed("live again", time.monotonic() - self._gone_s)
            self._gone_s = None

    def _refuse(self, client: CentrifugeClient, subscription: Subscription, error: Message) -> None:
        if not error.get("temporary"):
            self.failed("subscribe", error)
            return
        self.generator.count(f"for now {error.get('code')} to subscribe ({error.get('message')})")
        gevent.sleep(random.uniform(0, AGAIN_S))
        self._subscribe(client, subscription)

    def _interrupted(self) -> None:
        if self._in_channel:
            self._in_channel = False
            self._gone_s = time.monotonic()
        if self.subscription is not None:
            self.generator.left(self.subscription.lost(), 0, f"overtaken, at {self.name}")

    def account(self, *, standing: bool) -> Left:
        if not self.leaving:
            self._interrupted()
            return Left(missing=0, in_doubt=0)
        subscription = self.subscription
        if subscription is None or not subscription.begun:
            return Left(missing=0, in_doubt=0)
        missing = subscription.end(self._top if standing else None)
        books = subscription.books
        self.generator.count("owed", books.owed)
        if books.balance:
            self.generator.fault(Fault.UNBALANCED, f"{self.name}: {books}", abs(books.balance))
        return Left(missing=missing, in_doubt=0)


class Publisher(ChannelUser):
    """Publishes on schedule, in all channels in turn, and hears whether each was taken."""

    abstract = True

    def on_start(self) -> None:
        self._ready = False
        self._turn = random.randrange(1 << 16)
        self._numbers: dict[str, int] = {}
        self._asked: dict[int, float] = {}
        super().on_start()

    @property
    def connected(self) -> bool:
        return self._ready and super().connected

    @property
    def unanswered(self) -> int:
        return len(self._asked)

    def say(self, due_s: float, due_unix_s: float) -> None:
        client = self.client
        if not self._ready or client is None:
            self.generator.count("held back")
            return
        self._turn += 1
        channel = channel_of(self._turn % self.channels)
        number = self._numbers[channel] = self._numbers.get(channel, 0) + 1
        text = publication(channel, Line(self.name, number, int(due_unix_s * 1e6)))
        self.generator.count("publishing")
        try:
            self._asked[client.ask("publish", channel=channel, data=text)] = due_s
        except LOST:
            self.generator.count("in doubt")

    def hear(self, client: CentrifugeClient, message: Message) -> None:  # noqa: ARG002
        due_s = self._asked.pop(message.get("id", 0), None)
        if "error" in message:
            self.failed("publish", message["error"])
        elif due_s is not None:
            self.generator.count("published")
            self.generator.timed("publish", time.monotonic() - due_s)
        elif "connect" in message:
            self._ready = True

    def account(self, *, standing: bool) -> Left:
        self._ready = False
        left, self._asked = len(self._asked), {}
        return Left(missing=left, in_doubt=0) if standing else Left(missing=0, in_doubt=left)
