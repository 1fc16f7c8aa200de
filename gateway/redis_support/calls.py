"""How Redis is called: each command once, to its end, and with its errors translated."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from redis.exceptions import RedisError, ResponseError

from gateway.errors import BrokerRefused, BrokerUnavailable
from gateway.protocol.deadlines import REDIS_DEADLINE_S
from gateway.redis_support.address import RedisAddress
from gateway.redis_support.asking import looked_at
from gateway.redis_support.client import GARBAGE, client
from gateway.redis_support.reconnect import reasons

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Calls = TypeVar("_Calls", bound="Calls")


def to_its_end(
    method: Callable[Concatenate[_Calls, _P], Coroutine[Any, Any, _T]],
) -> Callable[Concatenate[_Calls, _P], Coroutine[Any, Any, _T]]:
    """Let no cancellation into redis-py, and translate its errors. The caller is cancelled at once.

    redis-py writes with ``asyncio.wait_for``, which in Python 3.11 may swallow a cancellation
    (gh-86296): a task that was to end went on, and its worker never stopped. And a command that
    is broken off leaves its reply behind in the connection.
    """

    async def ask(calls: _Calls, *args: _P.args, **options: _P.kwargs) -> _T:
        try:
            return await method(calls, *args, **options)
        except ResponseError as error:
            if "WRONGTYPE" in str(error):
                await calls.repair(*args)
            raise

    @wraps(method)
    async def asked(calls: _Calls, /, *args: _P.args, **options: _P.kwargs) -> _T:
        asking = asyncio.create_task(ask(calls, *args, **options), name=method.__name__)
        calls.asking.add(asking)
        asking.add_done_callback(calls.asking.discard)
        try:
            return await asyncio.shield(asking)
        except ResponseError as error:
            # Of a pipeline redis-py quotes the command, which has values.
            words = str(error).rpartition(" of pipeline caused error: ")[2]
            raise BrokerRefused(f"{calls.address.display}: {words}") from error
        except (RedisError, OSError) as error:
            # Not its repr, of which redis-py makes "network:ConnectionError" whatever it says.
            raise BrokerUnavailable(f"{calls.address.display}: {reasons([error])}") from error
        except GARBAGE as error:
            calls.address.node.garbage(repr(error), method.__name__)
            raise BrokerUnavailable(f"{calls.address.display}: {error!r}") from error

    return asked


class Calls(ABC):
    """A client, and what is under way through it."""

    def __init__(self, address: RedisAddress, *, name: str) -> None:
        self.address = address
        self.asking: set[asyncio.Task[Any]] = set()
        self.redis = client(address, name=name)
        address.node.when_moved(self._drop_idle)

    def _drop_idle(self) -> None:
        """End what nobody uses just now: it would stay with the node of before until it is used."""
        pool = self.redis.connection_pool
        dropping = asyncio.create_task(
            pool.disconnect(inuse_connections=False), name="idle connections dropped"
        )
        self.asking.add(dropping)
        dropping.add_done_callback(self._dropped)

    def _dropped(self, dropping: asyncio.Task[None]) -> None:
        self.asking.discard(dropping)
        looked_at(dropping)  # the connection may have gone by itself

    @abstractmethod
    async def repair(self, *args: object) -> None:
        """Something else has written to our keys: remove what has not its type.

        Args:
            args: Those of the call that met it.
        """

    async def aclose(self) -> None:
        if self.asking:
            await asyncio.wait(self.asking, timeout=REDIS_DEADLINE_S)
        await self.redis.aclose()
