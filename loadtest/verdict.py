"""Whether a run was clean, and why not. Figures in, reasons out."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from loadtest.checker import Fault
from loadtest.metrics import grown
from loadtest.receipts import LIES
from loadtest.record import Record
from loadtest.tally import Tally

# A second in which a generator had no CPU left, or came late to everything by as much: what it
# measures then is itself. One such second is bad luck, a fifth of them is a result.
FULL_CPU: Final = 95.0
LATE_S: Final = 0.25
SHARE: Final = 0.2
SECONDS: Final = 3

MOST_NAMED: Final = 5  # kinds of errors; whatever comes, the verdict is a line
INSUFFICIENT: Final = 2500  # from here on an unsubscribed client subscribes again

KEPT: Final = 0.95  # of a rate: less, and it was not reached

# Counts reach /metrics within a second, so a worker that is killed takes so much with it.
UNREPORTED_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Expected:
    """What may happen in a scenario without being held against the gateway.

    Attributes:
        closes: Close codes of ordinary users.
        refusals: How handshakes may fail, as they are counted: ``HTTP 503``, or an error's name.
        kills: Workers that were killed, with what they had counted.
        breaks: The scenario looks for the point at which latency breaks.
    """

    closes: Collection[int] = ()
    refusals: Collection[str] = ()
    kills: int = 0
    breaks: bool = False


def reasons(record: Record, expected: Expected) -> list[str]:
    """Why the run was not clean; empty when it was."""
    found = list(record.reasons)
    tally = record.tally
    found += [
        f"{count} {name}" + (_each(tally, "error ") if name == Fault.FAILED else "")
        for name in (*Fault, *LIES)
        if (count := tally.total(f"fault {name}"))
    ]
    found += _ends(tally, expected)
    if record.stopped:
        found.append("stopped before its time")
    for name in tally.names("refused "):
        if (refusal := name.removeprefix("refused ")) not in expected.refusals:
            found.append(f"{tally.total(name)} handshakes refused: {refusal}")
    too_soon = record.stopped and not record.seconds()
    if not too_soon and not any(map(tally.total, ("answered", "pushed", "delivered"))):
        found.append("nothing was answered")
    if overloaded(record) and not expected.breaks:
        found.append("generator overloaded: more processes (LOCUST_PROCESSES), or less load")
    found += disagreements(record, expected)
    if found and (refusals := _each(tally, "for now ")):
        found.append(f"told to try again{refusals}")  # no fault, and perhaps why
    return found


def _ends(tally: Tally, expected: Expected) -> list[str]:
    """Connections and subscriptions that ended and should not have."""
    found = []
    for name in tally.names("close "):
        code = int(name.removeprefix("close "))
        if code not in expected.closes:
            found.append(f"{tally.total(name)} connections closed with {code}")
    for name in tally.names("unsubscribed "):
        code = int(name.removeprefix("unsubscribed "))
        if code < INSUFFICIENT:  # its client does not subscribe again
            found.append(f"{tally.total(name)} subscriptions ended with {code}")
    return found


def _each(tally: Tally, prefix: str) -> str:
    """What is counted under names that begin so: ``: 3 x this, 1 x that``."""
    names = sorted(tally.names(prefix), key=tally.total, reverse=True)
    told = [f"{tally.total(name)} x {name.removeprefix(prefix)}" for name in names[:MOST_NAMED]]
    if more := sum(map(tally.total, names[MOST_NAMED:])):
        told.append(f"{more} x others")
    return f": {', '.join(told)}" if told else ""


def overloaded(record: Record) -> bool:
    """Whether the generator was too busy to be believed."""
    seconds = [record.load[second] for second in record.seconds() if second in record.load]
    bad = sum(cpu >= FULL_CPU or late_s >= LATE_S for cpu, late_s in seconds)
    return bad >= SECONDS and bad > SHARE * len(seconds)


def unanswered(sent: float, answered: float) -> str:
    """Why a rate does not hold, however short its latencies: what is not answered has none."""
    return f"only {answered:.0f}/s were answered" if answered < KEPT * sent else ""


def disagreements(record: Record, expected: Expected) -> list[str]:
    """Where the server's counters contradict the client's.

    A server cannot have read more than was sent, nor less than it answered. What a killed worker
    had not reported yet is allowed for.
    """
    before, after = record.before, record.after
    if before is None or record.stopped:
        return []  # nobody waited until the last of it was counted
    if after is None:
        return ["counters are unknown: /metrics answered at first, and not at the end"]
    tally = record.tally
    read = grown(before, after, "gateway_messages_received_total")
    written = grown(before, after, "gateway_messages_sent_total")
    delivered = grown(before, after, "gateway_deliveries_total")
    opened = grown(before, after, "gateway_connections_opened_total")
    sent = tally.total("sent") + tally.total("commands")
    got = tally.total("received")
    answered = tally.total("answered") + tally.total(f"fault {Fault.FAILED}")
    span_s = max(1.0, record.load_to_unix_s - record.load_from_unix_s)
    a_kill = UNREPORTED_S / span_s
    found = []
    if not answered - expected.kills * a_kill * sent <= read <= sent:
        found.append(f"the server read {read} messages, of {sent} sent and {answered} answered")
    if written < got - expected.kills * a_kill * got:
        found.append(f"the server wrote {written} messages, and {got} arrived")
    live = tally.total("pushed live")
    if delivered < live - expected.kills * a_kill * live:
        found.append(f"the server delivered {delivered} publications, and {live} arrived")
    if opened < tally.total("opened") - expected.kills * a_kill * tally.total("opened"):
        found.append(f"the server opened {opened} connections of {tally.total('opened')}")
    return [f"counters disagree: {line}" for line in found]


def headline(why: list[str]) -> str:
    """The first line of every report."""
    return "not clean: " + "; ".join(why) if why else "clean"
