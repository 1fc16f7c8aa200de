"""Which worker ids have an inbox at a master of the Cluster that answers.

An inbox has a slot of its own (ADR 20), and a worker without one is never ready: one that starts
while a master is away takes an id of another slot.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from redis.exceptions import RedisError

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.log import get_logger
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import blocking_client
from gateway.redis_support.slots import slot_of
from gateway.redis_support.stream import Endpoint

log = get_logger(__name__)

CHOICE_S: Final = 2.0  # for all questions; then any id will do
ANSWER_S: Final = 0.5  # how long a master may take


def with_reachable_inbox(
    address: RedisAddress, prefix: str, *, draw: Callable[[], WorkerId]
) -> WorkerId:
    """The first id drawn in whose inbox something can be published now.

    Any if nobody says where masters are, or none of those asked takes it in time. Blocks for
    ``CHOICE_S`` at most, and for one answer.

    Args:
        address: Of a Cluster.
    """
    assert address.cluster is not None
    ends_at = time.monotonic() + CHOICE_S
    worker = draw()
    try:
        owners = address.cluster.look_blocking(deadline_s=CHOICE_S).owners
    except (BrokerUnavailable, ConfigError):
        return worker  # whoever is to use it says so
    left = {owner for owner in owners if owner is not None}
    away: set[Endpoint] = set()
    while left and time.monotonic() < ends_at:
        inbox = keys.inbox(prefix, worker)
        owner = owners[slot_of(inbox)]
        if owner in left:
            if _takes(address.at(owner), inbox):
                break
            left.remove(owner)
            away.add(owner)
        worker = draw()
    if away:
        masters = sorted(f"{host}:{port}" for host, port in away)
        log.warning("worker id chosen for its inbox", new_worker=worker, away=masters)
    return worker


def _takes(master: RedisAddress, inbox: str) -> bool:
    try:
        with blocking_client(master, deadline_s=ANSWER_S) as server:
            server.execute_command(master.publish_verb, inbox, b"")
    except (RedisError, OSError, BrokerUnavailable, ConfigError):
        return False
    return True
