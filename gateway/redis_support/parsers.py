"""What redis-py reads with, bounded: in size, and in time where no event loop watches over that."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from redis._parsers.hiredis import NOT_ENOUGH_DATA, _HiredisParser
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.utils import SENTINEL

from gateway.redis_support.reader import BoundedReader


class ReplyReader:
    """A ``BoundedReader`` in the place where redis-py has hiredis' own."""

    def __init__(self, reply_error: Callable[[str], Exception]) -> None:
        self._bounded = BoundedReader(
            reply_error=reply_error, protocol_error=InvalidResponse, incomplete=NOT_ENOUGH_DATA
        )
        self._early: list[Any] = []

    def feed(self, data: bytes | bytearray, begin: int = 0, length: int | None = None) -> None:
        """Take ``length`` bytes from ``begin``, or all."""
        if length is not None:
            data = data[begin : begin + length]
        self._early += self._bounded.feed(bytes(data))

    def gets(self, *decode: bool) -> Any:
        return self._early.pop(0) if self._early else self._bounded.gets(*decode)

    def has_data(self) -> bool:
        return bool(self._early) or self._bounded.has_data()


class BlockingParser(_HiredisParser):
    """Has each reply within the timeout of its connection, however little of it comes at a time.

    redis-py's own begins that time anew with every byte: a supervisor that asks a server which says
    something now and then, and never ends, would wait for ever, deaf to its signals.
    """

    def on_connect(self, connection: Any, **options: Any) -> None:
        super().on_connect(connection, **options)  # type: ignore[no-untyped-call]  # redis-py's
        self._reader: Any = ReplyReader(self.parse_error)
        self._ends_at: float | None = None

    def read_response(self, *arguments: Any, **options: Any) -> Any:
        timeout = self._socket_timeout
        self._ends_at = None if timeout is None else time.monotonic() + timeout
        return super().read_response(*arguments, **options)

    def read_from_socket(self, timeout: Any = SENTINEL, raise_on_timeout: bool = True) -> Any:
        if timeout is SENTINEL and self._ends_at is not None:
            timeout = self._ends_at - time.monotonic()
            if timeout <= 0:
                raise RedisTimeoutError("Timeout reading from socket")
        return super().read_from_socket(timeout, raise_on_timeout)  # type: ignore[no-untyped-call]
