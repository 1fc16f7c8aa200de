"""The cases of a Redis Cluster: one load over a single Redis, and over one to three masters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Final

from benchmarks.channel_cases import CENTRIFUGE
from benchmarks.gateway_peer import GatewayPeer
from benchmarks.runs import Case, Load, Run
from gateway.redis_support import keys
from gateway.redis_support.slots import SLOTS, slot_of

MASTERS: Final = (0, 1, 2, 3)
# Sixths of the slots: two channels in each third of them, three in each half.
SIXTHS: Final = (0, 1, 2, 3, 4, 5)


def masters_label(masters: int) -> str:
    return f"{masters} master{'s' * (masters > 1)}" if masters else "a single Redis"


def spread_channels() -> tuple[str, ...]:
    """A channel in each sixth of the slots: as many at each of one, two or three masters."""
    found: dict[int, str] = {}
    for number in count():
        channel = f"bench-{number}"
        sixth = slot_of(keys.channel_messages("gw", channel)) * len(SIXTHS) // SLOTS
        found.setdefault(sixth, channel)
        if len(found) == len(SIXTHS):
            return tuple(found[sixth] for sixth in SIXTHS)
    raise AssertionError


def master_cases() -> Sequence[Case]:
    routed = GatewayPeer(name="gateway, 3 + 3 workers", processes=3, expected_us=None)
    crowds = Load("fanout", 50, at_once=20, channels=spread_channels())
    return [
        Case("masters-routed", "Routed echo over masters of a Cluster, 200 connections",
             [Run(masters_label(masters), routed, Load(), masters=masters) for masters in MASTERS]),
        Case("masters-fanout", "Fan-out in six channels over masters of a Cluster, to 50 each",
             [Run(masters_label(masters), CENTRIFUGE, crowds, masters=masters)
              for masters in MASTERS]),
    ]  # fmt: skip
