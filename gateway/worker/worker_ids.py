"""Under which id a worker lives: a random one, whose inbox can be reached."""

from __future__ import annotations

import os

from gateway.protocol.ids import RANDOM_BYTES_PER_WORKER_ID, WorkerId, worker_id
from gateway.redis_support.reachable_inbox import with_reachable_inbox
from gateway.redis_support.url import parse
from gateway.settings.config import Settings


def new_worker_id() -> WorkerId:
    return worker_id(os.urandom(RANDOM_BYTES_PER_WORKER_ID))


def reachable_worker_id(settings: Settings) -> WorkerId:
    """One whose inbox is at a master of the Cluster that answers, if one does within seconds.

    Blocks meanwhile, for ``INBOX_CHOICE_S`` at most. Where Redis is no Cluster, it asks nobody.
    """
    address = parse(settings.redis_url) if settings.redis_url else None
    if address is None or address.cluster is None:
        return new_worker_id()
    return with_reachable_inbox(address, settings.redis_prefix, draw=new_worker_id)
