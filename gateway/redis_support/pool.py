"""redis-py's connections, watched: what Redis refuses is told to the node, and what is absurd ends.

A pool of its own, since redis-py keeps a connection for as long as it stands: also one to a primary
that was demoted, and whose address has another one by now.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import redis.asyncio
from redis._parsers.hiredis import _AsyncHiredisParser
from redis.asyncio.connection import (
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

from gateway.errors import BrokerUnavailable
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.node import check_server, subject
from gateway.redis_support.parsers import ReplyReader
from gateway.redis_support.stream import Endpoint

_ANOTHER: Final = "another node is the primary by now"


class _Parser(_AsyncHiredisParser):
    """Tells its connection of every error, as Redis worded it: redis-py cuts off the code."""

    def on_connect(self, connection: Any) -> None:
        super().on_connect(connection)  # type: ignore[no-untyped-call]  # redis-py's

        def refused(words: str) -> Exception:
            connection.refused(words)
            error: Exception = self.parse_error(words)  # type: ignore[no-untyped-call]
            return error

        self._reader = ReplyReader(refused)  # type: ignore[assignment]  # theirs begins as None


class _Watched(AbstractConnection):
    """A connection that belongs to a node."""

    def __init__(self, *, address: RedisAddress, **options: Any) -> None:
        self._address, self._node = address, address.node
        self._about = ""
        self.epoch = self._node.epoch
        super().__init__(parser_class=_Parser, **options)

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        self.epoch = self._node.epoch
        await super().on_connect_check_health(check_health)
        await self.send_command("HELLO", self.protocol, check_health=False)
        try:
            check_server(await self.read_response(), cluster=self._address.cluster is not None)
        except BrokerUnavailable as error:
            raise RedisConnectionError(f"it {error}") from None

    def refused(self, words: str) -> None:
        if not self._about.startswith("CLIENT "):  # redis-py tries what not every server has
            self._node.refused(words, self._about, self._endpoint())

    def _endpoint(self) -> Endpoint | None:
        return None

    def pack_command(self, *words: Any) -> Any:
        self._about = subject(words)
        return super().pack_command(*words)

    def pack_commands(self, commands: Iterable[Iterable[Any]]) -> Any:
        packed = [tuple(command) for command in commands]
        output = super().pack_commands(packed)
        told = dict.fromkeys(subject(command) for command in packed[:8])
        self._about = ", ".join(about for about in told if about not in ("MULTI", "EXEC"))
        return output


class _Located(_Watched):
    """One that is made to wherever its node is then."""

    host: str
    port: int

    def _endpoint(self) -> Endpoint | None:
        return self.host, self.port

    async def _connect(self) -> None:
        self.host, self.port = await self._address.where()
        async with self._until_moved():
            await super()._connect()  # type: ignore[safe-super, no-untyped-call]  # redis-py's

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        async with self._until_moved():
            await super().on_connect_check_health(check_health)
        if not self._address.is_at((self.host, self.port)):
            raise RedisConnectionError(_ANOTHER)

    @asynccontextmanager
    async def _until_moved(self) -> AsyncIterator[None]:
        deadline = asyncio.timeout(None)  # redis-py has one of its own
        try:
            async with deadline:
                with self._node.until_moved(deadline):
                    yield
        except TimeoutError:
            if deadline.expired():
                raise RedisConnectionError(_ANOTHER) from None
            raise


class _PlainConnection(_Located, Connection):
    pass


class _TlsConnection(_Located, SSLConnection):
    pass


class _UnixConnection(_Watched, UnixDomainSocketConnection):
    pass


_WATCHED: Final[dict[type, type[AbstractConnection]]] = {
    Connection: _PlainConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


class _Pool(BlockingConnectionPool):
    """Hands out no connection that is older than the last move of its node."""

    async def ensure_connection(self, connection: Any) -> None:
        if connection.epoch != self.connection_kwargs["address"].node.epoch:
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


def pooled(
    address: RedisAddress, *, name: str, deadline_s: float, connections: int
) -> redis.asyncio.Redis:
    """A client whose commands are sent once, each within ``deadline_s``.

    More callers than connections wait for one; redis-py's default pool would raise at them.
    """
    options: dict[str, Any] = dict(parse_url(address.url))
    kind = options.pop("connection_class", Connection)
    pool = _Pool(
        connection_class=_WATCHED[kind],
        address=address,
        client_name=name,
        driver_info=None,  # Redis 7.0 refuses CLIENT SETINFO, after SELECT has been sent behind it
        socket_timeout=deadline_s,
        socket_connect_timeout=deadline_s,
        retry=Retry(NoBackoff(), 0),
        max_connections=connections,
        timeout=deadline_s,
        **options,
    )
    return redis.asyncio.Redis.from_pool(pool)
