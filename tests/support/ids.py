"""Ids for tests: random, of the right form."""

from __future__ import annotations

import os

from gateway.protocol.ids import (
    RANDOM_BYTES_PER_CONNECTION_ID,
    RANDOM_BYTES_PER_WORKER_ID,
    ConnectionId,
    WorkerId,
    connection_id,
    worker_id,
)


def new_worker_id() -> WorkerId:
    return worker_id(os.urandom(RANDOM_BYTES_PER_WORKER_ID))


def new_connection_id(owner: WorkerId | None = None) -> ConnectionId:
    return connection_id(owner or new_worker_id(), os.urandom(RANDOM_BYTES_PER_CONNECTION_ID))
