"""Commands on the wire: all of one write, and what is long without a copy of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, cast

import hiredis

# The last argument may be in pieces, of which only the first is copied.
Command = tuple[str | bytes | int | tuple[bytes, ...], ...]

LONG_BYTES: Final = 1 << 14  # of an argument; shorter ones are sooner copied than kept apart
_EMPTY: Final = b"0\r\n\r\n"

pack: Final = cast(Callable[[Command], bytes], hiredis.pack_command)  # typed too narrowly


def write(transport: asyncio.Transport, commands: Sequence[Command]) -> None:
    """All in one write. What is long is not copied: it leaves between what is put around it."""
    pieces: list[bytes] = []
    for command in commands:
        last = command[-1]
        if type(last) is tuple:
            around = pack((*command[:-1], b""))[: -len(_EMPTY)]
            first, *others = last
            pieces += (b"%b%d\r\n%b" % (around, sum(map(len, last)), first), *others, b"\r\n")
        elif type(last) is bytes and len(last) >= LONG_BYTES:
            around = pack((*command[:-1], b""))
            pieces += (b"%b%d\r\n" % (around[: -len(_EMPTY)], len(last)), last, b"\r\n")
        else:
            pieces.append(pack(command))
    if len(pieces) == 1:
        transport.write(pieces[0])
    elif sum(map(len, pieces)) < LONG_BYTES:
        transport.write(b"".join(pieces))
    else:
        transport.writelines(pieces)
