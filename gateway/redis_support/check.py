"""Whether a server is one that a gateway can use: asked once, before anything is started."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from gateway.errors import BrokerUnavailable, ConfigError
from gateway.log import get_logger
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.protocol.envelopes.membership import Gone
from gateway.protocol.envelopes.wire import hint
from gateway.protocol.ids import WorkerId
from gateway.redis_support import keys
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.client import blocking_client
from gateway.redis_support.node import MOVED, check_server, kind_of, subject
from gateway.redis_support.reconnect import reasons
from gateway.redis_support.slots import slot_of
from gateway.redis_support.stream import UNCONNECTED

log = get_logger(__name__)

NOWHERE: Final = ""  # no channel may be called that
NOBODY: Final = WorkerId("start2check2only")  # the id of no worker: its keys live for a moment
_SCRIPT: Final = "return 1"
_FATAL: Final = (MOVED, "permission", "script")
# redis-py cuts the code off what it has an exception for.
_CODES: Final = {
    NoPermissionError: "NOPERM ", ReadOnlyError: "READONLY ", OutOfMemoryError: "OOM ",
}  # fmt: skip

Command = tuple[Any, ...]


def check(address: RedisAddress, prefix: str, *, deadline_s: float = REDIS_DEADLINE_S) -> None:
    """Try every command that workers send, on keys and channels of ours, to no effect.

    Of a Cluster, at each master what is said to it. One of them may be away, if it is not the one
    that keeps the leases.

    Raises:
        ConfigError: It will never do: a replica, a Sentinel, a Cluster where none is named, one
            that lacks scripts or does not let this user do what is needed. In Redis' own words.
        BrokerUnavailable: It does not answer, or not now.
    """
    _check_all(address, prefix, _commands(prefix, _sharded(address)), deadline_s=deadline_s)


def why_not(address: RedisAddress, prefix: str, *, deadline_s: float) -> str | None:
    """Why a ``gateway.client`` cannot be connected now, in one line; None if that is not known.

    For whoever has waited in vain: "no answer" is not what somebody needs to hear of whom Redis
    does not let in.
    """
    sharded, inbox = _sharded(address), keys.inbox(prefix, NOBODY)
    commands = [(f"{sharded}PUBLISH", inbox, ""), (f"{sharded}SUBSCRIBE", inbox)]
    try:
        _check_all(address, prefix, commands, deadline_s=deadline_s)
    except (BrokerUnavailable, ConfigError) as error:
        return str(error)
    return None


def _sharded(address: RedisAddress) -> str:
    return address.publish_verb.removesuffix("PUBLISH")


def _check_all(
    address: RedisAddress, prefix: str, commands: Sequence[Command], *, deadline_s: float
) -> None:
    if address.cluster is None:
        _check_node(address, commands, deadline_s=deadline_s)
        return
    owners = address.cluster.nodes.look_blocking(deadline_s=deadline_s).owners
    for master in sorted({owner for owner in owners if owner is not None}):
        theirs = [
            command
            for command in commands
            if (key := _key_of(command, prefix)) is None or owners[slot_of(key)] == master
        ]
        try:
            _check_node(address.at(master), theirs, deadline_s=deadline_s)
        except BrokerUnavailable as error:
            if owners[slot_of(keys.workers(prefix))] == master:
                raise
            log.warning("a redis master is away", error=str(error))


def _key_of(command: Command, prefix: str) -> str | None:
    """The first key or channel of ours that it is about."""
    words = (word for word in command[1:] if isinstance(word, str))
    return next((word for word in words if word.startswith(f"{prefix}:")), None)


def _check_node(address: RedisAddress, commands: Sequence[Command], *, deadline_s: float) -> None:
    client = blocking_client(address, deadline_s=deadline_s, protocol=2)
    try:
        with client:
            # Not through the pool: it takes the tickets of a TLS session, which a server sends
            # unasked, for the replies of somebody before.
            connection = client.connection_pool.make_connection()
            try:
                connection.connect()  # type: ignore[no-untyped-call]  # redis-py's
                _check(connection, address, commands)
            finally:
                connection.disconnect()  # type: ignore[no-untyped-call]  # redis-py's
    except AuthenticationError as error:
        raise ConfigError(f"{address.display} {_not_let_in(str(error))}") from None
    except BusyLoadingError as error:
        log.warning("redis is not ready yet", error=str(error))
    except ResponseError as error:
        _refused(address, str(error))
    except (RedisError, *UNCONNECTED) as error:
        why = reasons([error], tls=address.tls is not None)
        raise BrokerUnavailable(f"{address.display} does not answer: {why}") from error


def _not_let_in(words: str) -> str:
    # What Redis says to a HELLO without a password is about that command: 56 words, and not "one".
    if "already authenticated" in words or words.startswith("Authentication required"):
        return (
            "asks for a password, and none is given: redis://[user]:password@host, or "
            "GATEWAY_REDIS_PASSWORD_FILE"
        )
    return f"lets nobody in like this: {words}"


def _refused(address: RedisAddress, words: str) -> NoReturn:
    """It answers, and lets no connection be made: it has not got this database, say."""
    if "cluster mode" in words:
        raise ConfigError(
            f"{address.display} is a node of a Cluster, which has no database but 0: "
            "write redis+cluster://host,host"
        )
    if "DB index" in words:
        raise ConfigError(f"{address.display} has no such database: {words}")
    raise BrokerUnavailable(f"{address.display} refuses: {words}")


def _check(connection: Any, address: RedisAddress, commands: Sequence[Command]) -> None:
    commands = [("HELLO", 2), *commands]
    connection.send_packed_command(connection.pack_commands(commands))
    refused: list[tuple[str, str]] = []
    for command in commands:
        try:
            reply = connection.read_response()
        except ResponseError as error:
            words = _CODES.get(type(error), "") + str(error)
            if command[0] != "HELLO" and kind_of(words) in _FATAL:
                refused.append((subject(command), words))
            continue
        if command[0] == "HELLO":
            try:
                check_server(reply, cluster=address.cluster is not None)
            except BrokerUnavailable as error:
                raise ConfigError(f"{address.display} {error}") from None
        if command == ("INFO", "memory"):
            _warn_of_eviction(reply)
    if refused:
        about, words = refused[0]
        more = f" (and {len(refused) - 1} more commands)" if len(refused) > 1 else ""
        raise ConfigError(f"{address.display} refuses {about}: {words.strip()}{more}")


def _commands(prefix: str, sharded: str) -> list[Command]:
    """What ``scripts/*.lua``, the registry and the brokers send; subscriptions come last.

    Args:
        sharded: "S" for the pub/sub of a Cluster, else "".
    """
    workers, dead, left = keys.workers(prefix), keys.dead(prefix), keys.left(prefix)
    conns, users = keys.connections(prefix, NOBODY), keys.users(prefix, NOBODY)
    inbox, everyone = keys.inbox(prefix, NOBODY), keys.everyone(prefix)
    history, meta = keys.history(prefix, NOWHERE), keys.history_meta(prefix, NOWHERE)
    channel = keys.channel_messages(prefix, NOWHERE)
    return [
        ("SCRIPT", "LOAD", _SCRIPT),
        ("EVALSHA", hashlib.sha1(_SCRIPT.encode()).hexdigest(), 1, workers),  # noqa: S324
        ("EVAL", _SCRIPT, 1, workers),
        ("TIME",),
        ("INFO", "server"),
        ("INFO", "memory"),
        ("ZADD", workers, "XX", 0, NOBODY),
        ("ZADD", dead, "XX", 0, NOBODY),
        ("ZADD", left, "XX", 0, NOBODY),
        ("ZSCORE", dead, NOBODY),
        ("ZRANGE", workers, 0, 0),
        ("ZRANGEBYSCORE", dead, "(0", "(0"),
        ("ZREMRANGEBYSCORE", dead, "(0", "(0"),
        ("ZREM", workers, NOBODY),
        ("HGET", keys.info(prefix), NOBODY),
        ("HDEL", keys.info(prefix), NOBODY),
        ("GET", keys.born(prefix)),
        ("GET", keys.server(prefix)),
        ("MULTI",),
        ("HSET", conns, keys.REVISION, 0),
        ("EXPIRE", conns, 60),
        ("HSET", users, "nobody", ""),
        ("EXPIRE", users, 60),
        ("EXEC",),
        ("HLEN", conns),
        ("ZCARD", keys.sweep(prefix, NOBODY)),
        ("HEXISTS", conns, "nobody"),
        ("PTTL", conns),
        ("HMGET", conns, "nobody"),
        ("HSCAN", conns, 0),
        ("HGETALL", keys.subscribed(prefix, NOBODY)),
        ("EXISTS", keys.presence_users(prefix, "")),
        ("TYPE", conns),
        ("DEL", conns, users),
        ("SET", conns, "", "XX"),
        ("XADD", history, "NOMKSTREAM", "*", "b", ""),
        ("XRANGE", history, "-", "+", "COUNT", 1),
        ("XREVRANGE", history, "+", "-", "COUNT", 1),
        ("PEXPIRE", meta, 1),
        (f"{sharded}PUBLISH", inbox, ""),
        (f"{sharded}PUBLISH", everyone, hint(NOBODY, Gone(NOBODY))),
        (f"{sharded}PUBLISH", channel, ""),
        (f"{sharded}SUBSCRIBE", inbox),
        (f"{sharded}SUBSCRIBE", everyone),
        (f"{sharded}SUBSCRIBE", channel),
        (f"{sharded}UNSUBSCRIBE", channel),
    ]


def _warn_of_eviction(info: Any) -> None:
    text = info.decode(errors="replace") if isinstance(info, bytes) else ""
    policy = next(
        (line.partition(":")[2] for line in text.splitlines()
         if line.startswith("maxmemory_policy:")), "noeviction",
    )  # fmt: skip
    if policy != "noeviction":
        log.warning("redis may evict leases", maxmemory_policy=policy)
