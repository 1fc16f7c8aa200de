"""Every key and channel, in one place. Braces are hash tags: one slot of a Cluster.

| key or channel | type | life |
|---|---|---|
| ``<p>:{workers}`` | zset, worker -> end of its lease in ms of Redis' time | a worker's lease |
| ``<p>:{workers}:info`` | hash, worker -> what it says of itself | removed with the lease |
| ``<p>:{workers}:dead`` | zset of the fenced, worker -> time of death in ms | 24 h |
| ``<p>:{workers}:left`` | zset, worker that ended on purpose -> when, in ms | 1 h |
| ``<p>:{workers}:born`` | string, time in ms at which the first worker came | one value |
| ``<p>:{workers}:server`` | string, run id of the server that ``born`` is true of | one value |
| ``<p>:{workers}:namespaces`` | string, the workers' options of channels | 1 h, renewed |
| ``<p>:{workers}:departed`` | zset, run id of a master that left -> when, in ms | the last 8 |
| ``<p>:{workers}:conns:<worker>`` | hash, connection -> facts; ``revision`` | 1 h; swept |
| ``<p>:{workers}:users:<worker>`` | hash, user -> its connections there | as conns |
| ``<p>:{workers}:sweep:<worker>`` | zset, connection -> its sweeper's until, in ms | as conns |
| ``<p>:{workers}:deaths:<worker>`` | hash, connection -> its sweepers' deaths | as conns |
| ``<p>:{workers}:subs:<worker>`` | hash of its channels; "" -> a revision | as presence |
| ``<p>:inbox:<worker>`` | channel of one worker | |
| ``<p>:all`` | channel of every worker | |
| ``<p>:{chan:<channel>}`` | channel of a channel's messages | |
| ``<p>:{chan:<channel>}:history`` | stream of publications, by offset | history's ttl |
| ``<p>:{chan:<channel>}:meta`` | hash: epoch, top, server, versions | the history's meta ttl |
| ``<p>:{chan:<channel>}:answer:<hash>`` | string, what an idempotency key was answered | 300 s |
| ``<p>:{chan:<channel>}:presence:<worker>`` | hash, client -> who it is | 2 h, renewed; swept |
| ``<p>:{chan:<channel>}:presence:workers`` | hash, worker -> its members | as the last |
| ``<p>:{chan:<channel>}:presence:users`` | hash, user -> how many clients it has | as workers |
"""

from __future__ import annotations

import hashlib

from gateway.protocol.ids import WorkerId

REVISION = "revision"  # a field of conns; no connection id has this form


def workers(prefix: str) -> str:
    return f"{prefix}:{{workers}}"


def info(prefix: str) -> str:
    return f"{prefix}:{{workers}}:info"


def dead(prefix: str) -> str:
    return f"{prefix}:{{workers}}:dead"


def born(prefix: str) -> str:
    return f"{prefix}:{{workers}}:born"


def left(prefix: str) -> str:
    return f"{prefix}:{{workers}}:left"


def server(prefix: str) -> str:
    return f"{prefix}:{{workers}}:server"


def connections(prefix: str, worker: WorkerId) -> str:
    return f"{prefix}:{{workers}}:conns:{worker}"


def users(prefix: str, worker: WorkerId) -> str:
    return f"{prefix}:{{workers}}:users:{worker}"


def sweep(prefix: str, worker: WorkerId) -> str:
    return f"{prefix}:{{workers}}:sweep:{worker}"


def deaths(prefix: str, worker: WorkerId) -> str:
    return f"{prefix}:{{workers}}:deaths:{worker}"


def presence(prefix: str, channel: str, worker: WorkerId) -> str:
    return f"{prefix}:{{chan:{channel}}}:presence:{worker}"


def presence_workers(prefix: str, channel: str) -> str:
    return f"{prefix}:{{chan:{channel}}}:presence:workers"


def presence_users(prefix: str, channel: str) -> str:
    return f"{prefix}:{{chan:{channel}}}:presence:users"


def subscribed(prefix: str, worker: WorkerId) -> str:
    return f"{prefix}:{{workers}}:subs:{worker}"


def inbox(prefix: str, worker: WorkerId) -> str:
    return f"{prefix}:inbox:{worker}"


def everyone(prefix: str) -> str:
    return f"{prefix}:all"


def namespaces(prefix: str) -> str:
    return f"{prefix}:{{workers}}:namespaces"


def departed(prefix: str) -> str:
    return f"{prefix}:{{workers}}:departed"


def channel_messages(prefix: str, channel: str) -> str:
    return f"{prefix}:{{chan:{channel}}}"


def history(prefix: str, channel: str) -> str:
    return f"{prefix}:{{chan:{channel}}}:history"


def history_meta(prefix: str, channel: str) -> str:
    return f"{prefix}:{{chan:{channel}}}:meta"


def history_answer(prefix: str, channel: str, idempotency_key: str) -> str:
    # Hashed: it is as long as its caller likes, and could else be the end of another one's key.
    digest = hashlib.blake2b(idempotency_key.encode(errors="replace"), digest_size=16).hexdigest()
    return f"{prefix}:{{chan:{channel}}}:answer:{digest}"
