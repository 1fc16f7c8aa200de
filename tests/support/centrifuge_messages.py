"""What clients of the Centrifuge protocol are told, read as cheaply as a thousand of them need."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import msgspec


class Data(msgspec.Struct, gc=False):
    """What is published: the channel, a number of its own, when (the loop's seconds), padding."""

    c: str = ""
    n: int = 0
    t: float = 0.0
    p: str = ""


class Pub(msgspec.Struct, gc=False):
    data: Data
    offset: int = 0


class Code(msgspec.Struct, gc=False):
    code: int = 0
    temporary: bool = False


class Client(msgspec.Struct, gc=False):
    client: str = ""


class Member(msgspec.Struct, gc=False):
    info: Client


class Push(msgspec.Struct, gc=False):
    channel: str = ""
    pub: Pub | None = None
    unsubscribe: Code | None = None
    join: Member | None = None
    leave: Member | None = None


class Subscribed(msgspec.Struct, gc=False):
    epoch: str = ""
    offset: int = 0
    recovered: bool = False
    positioned: bool = False
    publications: list[Pub] = []


class Message(msgspec.Struct, gc=False):
    id: int = 0
    push: Push | None = None
    error: Code | None = None
    connect: Client | None = None
    subscribe: Subscribed | None = None


_read = msgspec.json.Decoder(Message).decode


def read_messages(payload: bytes) -> list[Message]:
    """What is in one frame."""
    return [_read(line) for line in payload.split(b"\n")]


read_pushes: Final = lru_cache(maxsize=512)(read_messages)  # a worker sends the same to many
