"""What the scenarios of channels share: subscribers, publishers, and the books of both."""

from __future__ import annotations

import math
import time
from typing import Any, Final

import gevent

from loadtest.arguments import Arguments
from loadtest.scenarios.base import Phases
from loadtest.tally import percentile
from loadtest.users.centrifuge import PATH, CentrifugeClient
from loadtest.users.channels import Publisher, Subscriber, channel_of
from loadtest.users.socket import LOST, Closed, open_socket

PER_PUBLISHER: Final = 50.0  # publications a second
ANSWER_S: Final = 10.0
SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "longest": 1.0}

Tops = dict[str, tuple[str, int]]


class ChannelSubscriber(Subscriber):
    """Hears one channel."""


class ChannelPublisher(Publisher):
    """Speaks in all of them."""


class Channels(Phases):
    """The rate is that of the publications; some of the users publish, the others subscribe."""

    abstract = True
    stored = 0
    _before: Tops | None = None

    def prepare(self) -> None:
        arguments = self.run.arguments
        ChannelPublisher.fixed_count = publishers(arguments)
        ChannelSubscriber.fixed_count = arguments.users - ChannelPublisher.fixed_count

    def begin(self) -> None:
        super().begin()
        self._before = self._tops()

    def order(self, elapsed_s: float) -> dict[str, Any]:
        arguments = self.run.arguments
        each = arguments.rate / publishers(arguments)
        return {
            "per_user": each if elapsed_s else 0.0,
            "channels": arguments.channels,
            "history": arguments.history,
        }

    def judge(self) -> None:
        super().judge()
        record, tally = self.record, self.record.tally
        if not tally.total("delivered"):
            record.reasons.append("nothing was delivered")
        if unknown := tally.total("tops unknown"):
            record.notes.append(
                f"{unknown} subscribers may not read the history: what is missing at the very end "
                "was not looked for."
            )
        after = self._tops()
        if self._before is None or after is None:
            record.notes.append("The history may not be read: the publishers' books stand alone.")
        elif reason := self._stored(self._before, after):
            record.reasons.append(reason)

    def _stored(self, before: Tops, after: Tops) -> str:
        """Why what publishers were told and what is stored do not agree."""
        tally = self.record.tally
        if any(before[channel][0] != after[channel][0] for channel in before):
            return "the epoch of a channel has changed: its history was lost"
        self.stored = sum(after[channel][1] - before[channel][1] for channel in before)
        taken, doubt = tally.total("published"), tally.total("in doubt")
        if taken <= self.stored <= taken + doubt:
            return ""
        return (
            f"{self.stored} publications are stored, of {taken} that were answered for and "
            f"{doubt} in doubt"
        )

    def _tops(self) -> Tops | None:
        """The newest position of each channel. None: they may not be known."""
        host = self.run.stand.host
        try:
            with gevent.Timeout(ANSWER_S, OSError("no answer")):
                socket = open_socket("ws" + host.removeprefix("http") + PATH, [])
                client = CentrifugeClient(socket, self._asked)
                client.ask("connect")
                asked = {
                    client.ask("history", channel=channel): channel
                    for channel in map(channel_of, range(self.run.arguments.channels))
                }
                tops: Tops = {}
                while len(tops) < len(asked):
                    messages = client.receive()
                    if isinstance(messages, Closed):
                        return None
                    for message in messages:
                        if "error" in message:
                            socket.drop()
                            return None
                        if "history" in message:
                            found = message["history"]
                            tops[asked[message["id"]]] = (found["epoch"], found.get("offset", 0))
                socket.say_goodbye()
                return tops
        except LOST:
            return None

    def _asked(self) -> None:
        self.record.tally.count("commands", time.time())

    def figures(self) -> dict[str, str]:
        tally, seconds = self.record.tally, self.record.seconds()
        lasted_s = max(1, len(seconds))

        def a_second(name: str) -> float:
            return sum(tally.counts[name][second] for second in seconds) / lasted_s

        deliveries = tally.all_times("delivery")
        arguments = self.run.arguments
        found = {
            "channels": f"{arguments.channels}; {arguments.users - publishers(arguments)} "
            f"subscribers, {publishers(arguments)} publishers",
            "publications": f"{tally.total('published')} taken, {a_second('published'):.0f}/s, "
            f"{tally.total('in doubt')} in doubt"
            + (f"; {self.stored} stored" if self.stored else ""),
            "deliveries": f"{tally.total('delivered')}, {a_second('delivered'):.0f}/s",
            "latency of deliveries": ", ".join(
                f"{name} {percentile(deliveries, share) * 1e3:.1f} ms"
                for name, share in SHARES.items()
            ),
            "ledger": f"{tally.total('owed')} owed to subscribers = {tally.total('delivered')} "
            f"delivered + {tally.total('declared missing')} declared missing",
            "gaps": f"{tally.total('unsubscribed 2500')} told to subscribe again, "
            f"{tally.total('recovered')} recovered, {tally.total('not recovered')} not recovered",
        }
        again = tally.all_times("live again")
        if again:
            found["live again"] = (
                f"{again.total()} times; {percentile(again, 0.5):.2f} s (median), "
                f"{percentile(again, 1.0):.2f} s (all)"
            )
        return found | super().figures()


def publishers(arguments: Arguments) -> int:
    """How many of the users publish."""
    needed = max(math.ceil(arguments.rate / PER_PUBLISHER), arguments.processes, 2)
    return max(1, min(needed, arguments.users // 2))


USERS = (ChannelSubscriber, ChannelPublisher)
