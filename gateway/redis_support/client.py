"""redis-py, set up so that it neither retries nor waits without a bound; and the scripts."""

from __future__ import annotations

import time
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final

import redis
import redis.asyncio
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    ClusterDownError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.retry import Retry

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.envelopes.membership import Gone
from gateway.protocol.envelopes.wire import hint
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.parsers import BlockingParser
from gateway.redis_support.pool import pooled
from gateway.redis_support.slots import AGAIN_S, read_redirect
from gateway.redis_support.stream import Endpoint

CONNECTIONS: Final = 4
LEAST_S: Final = 0.05  # that something may take, however little of a deadline is left
REDIRECTED: Final = (AskError, TryAgainError, ClusterDownError)  # MovedError is an AskError

# What comes of replies that are not what was asked for.
GARBAGE: Final = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError)
_FAILURES: Final = (RedisError, OSError, ConfigError, *GARBAGE)


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

    Args:
        deadline_s: For finding where it is, and with what is left of that for connecting, and for
            each reply.

    Raises:
        BrokerUnavailable: No Sentinel says where the primary is.
        ConfigError: They never will.
    """
    places: dict[str, Any] = {}
    if address.path is None:
        ends_at = time.monotonic() + deadline_s
        places["host"], places["port"] = address.where_blocking(deadline_s=deadline_s)
        deadline_s = _left_s(ends_at)
    pool = redis.ConnectionPool.from_url(
        address.url,
        socket_timeout=deadline_s,
        socket_connect_timeout=deadline_s,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # no CLIENT SETINFO
        parser_class=BlockingParser,
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
    ends_at = time.monotonic() + deadline_s
    names: Sequence[str] = (keys.workers(prefix), keys.dead(prefix))
    try:
        if not _eval(address, script("lease_fence"), names, worker, deadline_s=deadline_s):
            return False
    except _FAILURES as error:
        raise _unavailable(address, error) from error
    told = hint(worker, Gone(worker))
    publish(address, keys.everyone(prefix), told, deadline_s=_left_s(ends_at))
    return True


def _eval(
    address: RedisAddress, text: str, names: Sequence[str], *arguments: str, deadline_s: float
) -> Any:
    """What a script returns, run where its keys are: also while their slot moves."""
    ends_at = time.monotonic() + deadline_s
    where, asking = address.of(names[0]), False
    while True:
        server = blocking_client(where, deadline_s=_left_s(ends_at))
        try:
            with server, server.pipeline(transaction=False) as pipe:
                if asking:
                    # It is about the next command alone.
                    pipe.execute_command("ASKING")  # type: ignore[no-untyped-call]  # redis-py's
                pipe.eval(text, len(names), *names, *arguments)
                return pipe.execute()[-1]
        except REDIRECTED as error:
            if time.monotonic() >= ends_at:
                raise
            if address.cluster is not None and not asking:
                options = server.get_connection_kwargs()
                told = importing(error, (options["host"], options["port"]))
                if told is not None:
                    where, asking = address.at(told), True
                    continue
        where, asking = address.of(names[0]), False
        time.sleep(AGAIN_S)


def importing(error: RedisError, asked: Endpoint) -> Endpoint | None:
    """The node that has the keys already, as ``asked`` has answered; None: it has not said so."""
    if type(error) is not AskError:
        return None
    told = read_redirect(f"ASK {error.message}", asked)
    return None if told is None else told[1]


def _unavailable(address: RedisAddress, error: Exception) -> BrokerUnavailable:
    if not isinstance(error, ResponseError):
        return BrokerUnavailable(f"{address.display} does not answer: {error}")
    # Of a pipeline redis-py quotes the command, and it cuts off the code.
    words = str(error).rpartition(" of pipeline caused error: ")[2]
    code = "" if error.status_code is None else f"{error.status_code} "
    return BrokerUnavailable(f"{address.display} refuses: {code}{words.removeprefix(code)}")


def _left_s(ends_at: float) -> float:
    return max(LEAST_S, ends_at - time.monotonic())


def publish(address: RedisAddress, channel: str, payload: bytes, *, deadline_s: float) -> None:
    """For a thread beside an event loop that is held.

    Raises:
        BrokerUnavailable: Not done, or nobody can know.
    """
    try:
        with blocking_client(address.of(channel), deadline_s=deadline_s) as server:
            server.execute_command(address.publish_verb, channel, payload)
    except _FAILURES as error:
        raise _unavailable(address, error) from error
