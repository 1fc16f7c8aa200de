"""redis-py, set up so that it neither retries nor waits without a bound; and the scripts."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.envelopes.membership import Gone
from gateway.protocol.envelopes.wire import hint
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.pool import pooled

CONNECTIONS: Final = 4


def script(name: str) -> str:
    """The text of ``scripts/<name>.lua``."""
    return files("gateway.redis_support").joinpath("scripts", f"{name}.lua").read_text()


def client(
    address: RedisAddress, *, name: str, connections: int = CONNECTIONS
) -> redis.asyncio.Redis:
    """An asyncio client: every command once, within ``REDIS_DEADLINE_S``."""
    return pooled(address, name=name, deadline_s=REDIS_DEADLINE_S, connections=connections)


def blocking_client(
    address: RedisAddress, *, deadline_s: float = REDIS_DEADLINE_S, **options: Any
) -> redis.Redis:
    """A client for processes without an event loop: the supervisor, tools.

    Raises:
        BrokerUnavailable: No Sentinel says where the primary is.
        ConfigError: They never will.
    """
    places: dict[str, Any] = {}
    if address.path is None:
        places["host"], places["port"] = address.where_blocking(deadline_s=deadline_s)
    pool = redis.ConnectionPool.from_url(
        address.url,
        socket_timeout=deadline_s,
        socket_connect_timeout=deadline_s,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # no CLIENT SETINFO
        **options,
    )
    pool.connection_kwargs.update(places)
    return redis.Redis.from_pool(pool)


def fence(address: RedisAddress, prefix: str, worker: WorkerId, *, deadline_s: float) -> bool:
    """For a supervisor: its child ``worker`` has died. Tell the others at once.

    Returns:
        False when the worker had left by itself.

    Raises:
        BrokerUnavailable: Not done; the end of the lease will do it.
    """
    names: Sequence[str] = (keys.workers(prefix), keys.dead(prefix))
    try:
        with blocking_client(address.of(names[0]), deadline_s=deadline_s) as server:
            if not server.eval(script("lease_fence"), len(names), *names, worker):
                return False
            if address.cluster is None:
                server.publish(keys.everyone(prefix), hint(worker, Gone(worker)))
    except (RedisError, OSError, ConfigError) as error:
        raise BrokerUnavailable(f"{address.display} does not answer: {error}") from error
    if address.cluster is not None:
        everyone = keys.everyone(prefix)
        publish(address, everyone, hint(worker, Gone(worker)), deadline_s=deadline_s)
    return True


def publish(address: RedisAddress, channel: str, payload: bytes, *, deadline_s: float) -> None:
    """For a thread beside an event loop that is held.

    Raises:
        BrokerUnavailable: Not done, or nobody can know.
    """
    try:
        with blocking_client(address.of(channel), deadline_s=deadline_s) as server:
            server.execute_command(address.publish_verb, channel, payload)
    except (RedisError, OSError, ConfigError) as error:
        raise BrokerUnavailable(f"{address.display} does not answer: {error}") from error
