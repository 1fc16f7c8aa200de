"""How long leases, claims and waits last, and which of them must be shorter than which.

Those of one part alone, which nothing else depends on, stand in that part. Scripts of Redis get
theirs as arguments. docs/concepts/membership.md shows both tables; a test compares them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

# Leases. All but the longest are for the lease that is set by default, and scale with it.
LEASE_S: Final = 10.0
MAX_LEASE_S: Final = 300.0  # what ends later no worker wrote, unless the clock was set back
RENEWALS_PER_LEASE: Final = 10 / 3
RENEWAL_S: Final = LEASE_S / RENEWALS_PER_LEASE
STEP_SHARE: Final = 0.05  # of a lease: what Redis' clock may gain or lose between two renewals
AFTER_END_S: Final = 0.05  # from the end of somebody's lease until one looks
RENEWAL_RETRY_S: Final = 0.5  # on average, and between two looks at least
REDIS_DEADLINE_S: Final = 3.0  # for one command, or for connecting

# Who is dead, or has left
FENCED_S: Final = 24 * 3600.0  # at least; longer while there are few
FENCE_SHOWN_S: Final = 60.0  # to everybody, even when its sweep is finished
LEFT_S: Final = 3600.0  # at least, as with fences

# Entries and sweeps
ENTRIES_S: Final = 3600.0  # from the last renewal of their worker
CLAIM_S: Final = 10.0
EXTEND_S: Final = CLAIM_S / 3
BACKLOG_LOOK_S: Final = 30.0  # while no handler worker is there
LAST_MOMENT_S: Final = 60.0  # before entries are forgotten: then they are given up, and counted

# Loopback probes
EAGER_PROBE_S: Final = 0.1
PROBE_S: Final = 2.0
DEAF_S: Final = 6.0
HOPELESS_S: Final = 30.0

# Beginning and end
INBOX_CHOICE_S: Final = 6.0  # of a worker of a Cluster that starts, for an inbox within reach
START_S: Final = 5.0  # until a worker that cannot serve yet listens all the same
DECISION_PATIENCE_S: Final = 10.0  # of a handshake, for the first handler worker
PARTING_S: Final = 1.0  # for what the end of the window leaves
LEAVE_S: Final = 2.0  # for each step of leaving
LEAVE_ALTOGETHER_S: Final = 3.0
AFTER_DRAIN_S: Final = 10.0  # the supervisor waits for so long after the window, then it kills
NOTIFY_S: Final = 1.0  # between two signs of life for the supervisor
SILENT_WORKER_S: Final = 30.0  # without one: the supervisor kills
FENCE_DEADLINE_S: Final = 1.0  # of the supervisor, for a dead child


class Rule(NamedTuple):
    """Names and sums of names from this module."""

    shorter: str
    longer: str
    why: str


RULES: Final = (
    Rule(
        "RENEWAL_S + REDIS_DEADLINE_S + RENEWAL_RETRY_S",
        "LEASE_S",
        "a renewal that fails is tried again while the lease runs",
    ),
    Rule("AFTER_END_S", "RENEWAL_RETRY_S", "who looks at the end of a lease looks once"),
    Rule("RENEWAL_RETRY_S", "RENEWAL_S", "an outage is over sooner than a renewal is due"),
    Rule("RENEWAL_S", "FENCE_SHOWN_S", "everybody sees who was fenced, and swept, in between"),
    Rule(
        "2 * MAX_LEASE_S + LAST_MOMENT_S",
        "ENTRIES_S",
        "entries are there when a lease has ended, and whoever sweeps trusts what it sees",
    ),
    Rule("MAX_LEASE_S", "LEFT_S", "no renewal that was under way comes after it"),
    Rule("ENTRIES_S", "FENCED_S", "who wakes while its entries may be there finds itself fenced"),
    Rule("EXTEND_S + REDIS_DEADLINE_S", "CLAIM_S", "who lives keeps what it has acquired"),
    Rule("CLAIM_S", "LAST_MOMENT_S", "what a dead sweeper had is acquired again before the end"),
    Rule("BACKLOG_LOOK_S", "LAST_MOMENT_S", "who waits for handlers looks before the end"),
    Rule("EAGER_PROBE_S", "PROBE_S", "a worker that is not ready asks more often"),
    Rule("2 * PROBE_S", "DEAF_S", "one lost probe does not make a worker deaf"),
    Rule("2 * DEAF_S", "HOPELESS_S", "new subscriptions are tried more than once"),
    Rule(
        "INBOX_CHOICE_S + START_S",
        "SILENT_WORKER_S",
        "no worker is killed while it waits for Redis",
    ),
    Rule("NOTIFY_S", "SILENT_WORKER_S", "no worker is killed while its loop turns"),
    Rule("LEASE_S", "SILENT_WORKER_S", "others take over before the supervisor kills"),
    Rule("FENCE_DEADLINE_S", "LEASE_S", "without the supervisor it would be done by then"),
    Rule("LEAVE_S", "LEAVE_ALTOGETHER_S", "one step does not use up the time of all"),
    Rule(
        "4 * PARTING_S + LEAVE_S + LEAVE_ALTOGETHER_S",
        "AFTER_DRAIN_S",
        "a worker that leaves is done before it is killed",
    ),
)
