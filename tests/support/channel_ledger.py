"""What became of every publication, by (epoch, offset), for each subscriber and channel. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Final, NamedTuple

Place = tuple[str, int]  # epoch, offset
# A publisher numbers its publications from a multiple of this on, in the order of publishing.
NUMBERS: Final = 1_000_000


class Gap(NamedTuple):
    """What a subscriber was told to be missing: everything after ``after``, up to ``to``."""

    after: Place
    to: Place
    at_s: float


class Reading:
    """One subscriber's way through one channel.

    Attributes:
        begun: Where it was when it first subscribed.
        place: How far it has come. An epoch of "" before it has subscribed.
    """

    __slots__ = ("begun", "channel", "delivered", "gaps", "ledger", "place", "unsubscribed")

    def __init__(self, ledger: ChannelLedger, channel: str) -> None:
        self.ledger = ledger
        self.channel = channel
        self.begun: Place = ("", 0)
        self.place: Place = ("", 0)
        self.delivered = 0
        self.gaps: list[Gap] = []
        self.unsubscribed = True  # until the reply to its first or next subscribe

    def subscribed(self, place: Place, *, recovered: bool, now: float) -> None:
        """The reply. ``place`` is the top where nothing was recovered."""
        ledger = self.ledger
        ledger.see(self.channel, place)
        ledger.subscribed_at.append(now)
        if not self.place[0]:
            self.begun = self.place = place
        elif recovered:
            ledger.recovered += 1
            if place != self.place:
                ledger.wrong["recovered from elsewhere"] += 1
        else:
            ledger.not_recovered += 1
            self.gaps.append(Gap(self.place, place, now))
            self.place = place
        self.unsubscribed = False

    def took(self, offset: int, serial: int) -> None:
        """A publication, live or recovered."""
        epoch, at = self.place
        if offset == at + 1:
            self.delivered += 1
        elif offset <= at:
            self.ledger.wrong["twice or out of order"] += 1
            return
        else:
            self.ledger.wrong["jumped over"] += offset - at - 1
            self.delivered += 1
        self.place = (epoch, offset)
        self.ledger.is_serial(self.channel, self.place, serial)


@dataclass
class Balance:
    """Publications times subscribers. ``lost`` is what nobody was told to be missing."""

    published: int = 0
    delivered: int = 0
    declared: int = 0
    lost: int = 0


@dataclass
class ChannelLedger:
    """All subscribers of all channels.

    Attributes:
        serials: What is at each place, as its publisher or whoever came first says.
        wrong: Broken promises, by their names.
        delays_s: From publishing to arriving; collected only while it is a list.
        disordered: Publishers, as multiples of ``NUMBERS``, whose publications overtake each other.
    """

    readings: list[Reading] = field(default_factory=list)
    serials: dict[str, dict[Place, int]] = field(default_factory=lambda: defaultdict(dict))
    tops: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    wrong: Counter[str] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    ends: Counter[int] = field(default_factory=Counter)  # codes of unsubscribe pushes
    errors: Counter[int] = field(default_factory=Counter)  # codes of error replies
    ended_at: list[float] = field(default_factory=list)  # of unsubscribe pushes
    subscribed_at: list[float] = field(default_factory=list)  # each time anew
    delays_s: list[float] | None = None
    disordered: set[int] = field(default_factory=set)
    published: int = 0  # that publishers were told to be stored
    in_doubt: int = 0
    recovered: int = 0
    not_recovered: int = 0
    refused: int = 0  # attempts to connect

    def reading(self, channel: str) -> Reading:
        made = Reading(self, channel)
        self.readings.append(made)
        return made

    def stored(self, channel: str, place: Place, serial: int) -> None:
        """A publisher was told where its publication is."""
        self.published += 1
        self.is_serial(channel, place, serial)

    def see(self, channel: str, place: Place) -> None:
        """A place that there is. Epochs are seen in their order."""
        epoch, offset = place
        tops = self.tops[channel]
        tops[epoch] = max(tops.get(epoch, 0), offset)

    def is_serial(self, channel: str, place: Place, serial: int) -> None:
        """There is one publication at each place."""
        if self.serials[channel].setdefault(place, serial) != serial:
            self.wrong["two at one place"] += 1
        tops = self.tops[channel]
        if place[1] > tops.get(place[0], 0):
            tops[place[0]] = place[1]

    def balance(self) -> Balance:
        """Published = delivered + declared missing + lost."""
        sum_ = Balance()
        for reading in self.readings:
            if not reading.begun[0]:
                continue
            tops = self.tops[reading.channel]
            end = list(tops.items())[-1]
            sum_.published += _between(tops, reading.begun, end)
            sum_.delivered += reading.delivered
            sum_.declared += sum(_between(tops, gap.after, gap.to) for gap in reading.gaps)
            sum_.lost += _between(tops, reading.place, end)
        return sum_

    @property
    def broken(self) -> dict[str, int]:
        """The promises that were broken; empty on a good day."""
        balance = self.balance()
        wrong = dict(self.wrong)
        twice = sum(len(at) - len(set(at.values())) for at in self.serials.values())
        if twice:
            wrong["published twice"] = twice
        if disorder := sum(map(self._disorder, self.serials.values())):
            wrong["stored out of order"] = disorder
        if balance.lost:
            wrong["lost"] = balance.lost
        if balance.published != balance.delivered + balance.declared + balance.lost:
            wrong["does not add up"] = (
                balance.published - balance.delivered - balance.declared - balance.lost
            )
        return wrong

    def _disorder(self, at: dict[Place, int]) -> int:
        """How many of a publisher are at a lower offset than one that it has published before."""
        highest: dict[tuple[str, int], int] = {}
        found = 0
        for (epoch, _), serial in sorted(at.items()):
            publisher = serial // NUMBERS
            if publisher in self.disordered:
                continue
            found += serial < highest.get((epoch, publisher), 0)
            highest[epoch, publisher] = max(serial, highest.get((epoch, publisher), 0))
        return found

    def table(self, title: str) -> str:
        """One line of figures for people."""
        balance = self.balance()
        return (
            f"{title}: publications {self.published} (in doubt {self.in_doubt}), to be delivered "
            f"{balance.published} = delivered {balance.delivered} + declared missing "
            f"{balance.declared} + lost {balance.lost}; wrong {dict(self.wrong)}; recovered "
            f"{self.recovered}, not recovered {self.not_recovered}, unsubscribed "
            f"{dict(sorted(self.ends.items()))}, closes {dict(sorted(self.closes.items()))}, "
            f"errors {dict(sorted(self.errors.items()))}, refused {self.refused}"
        )


def _between(tops: dict[str, int], after: Place, to: Place) -> int:
    """How many publications there are after one place, up to another."""
    if after[0] == to[0]:
        return to[1] - after[1]
    epochs = list(tops)
    first, last = epochs.index(after[0]), epochs.index(to[0])
    if first > last:
        return -_between(tops, to, after)
    between = sum(tops[epoch] for epoch in epochs[first + 1 : last])
    return tops[after[0]] - after[1] + between + to[1]
