"""A few words with a server, without an event loop and without a pool."""

from __future__ import annotations

from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from gateway.redis_support.parsers import BlockingParser


def ask(host: str, port: int, *commands: tuple[str, ...], deadline_s: float, **options: Any) -> Any:
    """The replies to ``commands``, in order, as they came.

    Not through redis-py's pool: it takes the tickets of a TLS session, which a server sends
    unasked, for a reply of somebody before.

    Args:
        deadline_s: For connecting, and for each reply.
        options: Of ``redis.Redis``.

    Raises:
        redis.RedisError: As redis-py has them; also for a reply that is an error.
        OSError: There is no connection.
    """
    with redis.Redis(
        host, port, socket_timeout=deadline_s, socket_connect_timeout=deadline_s,
        retry=Retry(NoBackoff(), 0), driver_info=None, protocol=2, **options,
    ) as client:  # fmt: skip
        client.connection_pool.connection_kwargs["parser_class"] = BlockingParser
        connection = client.connection_pool.make_connection()
        try:
            connection.connect()
            replies = []
            for command in commands:
                connection.send_command(*command)
                replies.append(connection.read_response())
            return replies
        finally:
            connection.disconnect()
