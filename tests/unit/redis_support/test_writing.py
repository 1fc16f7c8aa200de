"""What one write of commands is made of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, cast

import hiredis
import pytest

from gateway.redis_support.connection import RedisConnection
from gateway.redis_support.url import parse
from gateway.redis_support.writing import LONG_BYTES, Command, write

LONG = bytes(range(256)) * (LONG_BYTES // 256)


class Transport:
    """Keeps what is written, as it was handed in, and how often something was."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writelines([data])

    def writelines(self, pieces: Iterable[bytes]) -> None:
        self.writes += 1
        self.pieces += pieces


@pytest.mark.parametrize(
    "commands",
    [
        [("PING",)],
        [("PUBLISH", "channel", b"")],
        [("PUBLISH", "channel", b"short"), ("PUBLISH", "other", b"too")],
        [("PUBLISH", "channel", LONG[:-1])],
        [("PUBLISH", "channel", LONG)],
        [("PUBLISH", "ä", b"short"), ("PUBLISH", "channel", LONG), ("SET", "key", 1)],
        [("EVALSHA", LONG, 1, "key", LONG + b"\r\n")],
    ],
)
def test_what_is_written_is_what_hiredis_would_pack(commands: Sequence[Command]) -> None:
    transport = Transport()

    write(cast(asyncio.Transport, transport), commands)

    packed = [hiredis.pack_command(cast(Any, command)) for command in commands]
    assert b"".join(transport.pieces) == b"".join(packed)
    assert transport.writes == 1


@pytest.mark.parametrize("others", [(), (LONG,), (LONG, b"short", LONG)])
def test_what_comes_in_pieces_arrives_as_one_argument(others: tuple[bytes, ...]) -> None:
    transport = Transport()
    payload = (b"first", *others)

    write(cast(asyncio.Transport, transport), [("PUBLISH", "ä", payload), ("PING",)])

    packed = [
        hiredis.pack_command(cast(Any, command))
        for command in (("PUBLISH", "ä", b"".join(payload)), ("PING",))
    ]
    assert b"".join(transport.pieces) == b"".join(packed)
    assert transport.writes == 1
    assert sum(piece is LONG for piece in transport.pieces) == others.count(LONG)


def test_what_is_long_is_not_copied() -> None:
    transport = Transport()

    write(cast(asyncio.Transport, transport), [("PUBLISH", "channel", LONG)])

    assert any(piece is LONG for piece in transport.pieces)


async def test_what_cannot_be_said_leaves_the_answers_to_whom_they_are_for() -> None:
    """One that waited without having been sent was given the answer of the next, and so on."""
    transport = Transport()
    connection = RedisConnection(deadline_s=60, node=parse("redis://nowhere").node)
    connection.connection_made(cast(asyncio.Transport, transport))
    with pytest.raises(TypeError):
        connection.execute([("XRANGE", "key", "-", "+", "COUNT", True)])

    answer = connection.execute([("PING",)])
    connection.data_received(b"+PONG\r\n")
    connection.connection_lost(None)

    assert await answer == [b"PONG"]
    assert transport.pieces == [hiredis.pack_command(("PING",))]
