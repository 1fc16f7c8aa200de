"""The server's counters beside what users saw: read at the end, once they have caught up."""

from __future__ import annotations

import time
from typing import Final

import gevent

from loadtest.metrics import grown, scrape
from loadtest.record import Record

METRICS_LAG_S: Final = 2.5


def read_before(record: Record, api: str) -> None:
    """Read the counters before anybody comes; without any they are not compared, which is noted."""
    record.before = scrape(api)
    if record.before is None:
        record.notes.append(f"No /metrics at {api}: the server's counters were not compared.")


def read_after(record: Record, api: str) -> None:
    """Counts reach /metrics within a second: wait until they agree, but not for long."""
    end = time.monotonic() + METRICS_LAG_S
    while record.before is not None:
        record.after = scrape(api)
        if time.monotonic() > end or _caught_up(record):
            return
        gevent.sleep(0.3)


def _caught_up(record: Record) -> bool:
    """Whether the server has counted all that users saw."""
    before, after, tally = record.before, record.after, record.tally
    if before is None or after is None:
        return False
    counted = {
        "gateway_messages_received_total": "sent",
        "gateway_messages_sent_total": "received",
        "gateway_deliveries_total": "pushed live",
        # Those that came last may have said nothing.
        "gateway_connections_opened_total": "opened",
    }
    return all(grown(before, after, name) >= tally.total(seen) for name, seen in counted.items())
