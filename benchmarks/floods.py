"""Clients that send as fast as they are read, and come again at once when they are thrown out."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from contextlib import suppress
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks.talking import ANSWERED_WITHIN_S, Window
from tests.support.rawclient import CONTINUATION, PING, PONG, TEXT, frame, request

FLOODERS: Final = 4
_AT_ONCE_BYTES: Final = 1 << 18
_SILENT_S: Final = 0.01  # before a client that was refused tries again


def _many(piece: bytes) -> bytes:
    return piece * max(1, _AT_ONCE_BYTES // len(piece))


# How each begins, and what follows again and again.
FLOODS: Final = {
    "empty fragments": (frame(TEXT, b"", fin=False), _many(frame(CONTINUATION, b"", fin=False))),
    "pings": (b"", _many(frame(PING, b""))),
    "pongs": (b"", _many(frame(PONG, b""))),
    "tiny texts": (b"", _many(frame(TEXT, b"x"))),
    "64 KiB texts": (b"", _many(frame(TEXT, b"x" * (64 << 10)))),
}


def flood_label(flooders: int, flood: str) -> str:
    return f"beside {flooders} that send{'s' if flooders == 1 else ''} {flood}"


async def flood(job: dict[str, Any], window: Window) -> dict[str, Any]:
    """``connections`` clients that flood until the window ends."""
    os.nice(19)  # in earnest it would have a machine of its own, and not half of the servers'
    counts: Counter[str] = Counter()
    url = urlsplit(job["urls"][0])
    begin = time.monotonic()

    async def one() -> None:
        while time.monotonic() < window.end:
            try:
                await _flood_once(url.port or 80, url.path, job["flood"], window, counts)
            except (OSError, asyncio.IncompleteReadError):
                counts["cut"] += 1
                await asyncio.sleep(_SILENT_S)

    await asyncio.gather(*(one() for _ in range(job["connections"])))
    took_s = max(0.1, window.end - begin)
    notes = (
        f"{counts['bytes'] / took_s / 1e6:.1f} MB/s sent, {counts['opened'] / took_s:.0f} "
        f"connections/s, {counts['refused'] + counts['cut']} refused or cut"
    )
    return {"took_us": {}, "faults": {}, "notes": notes}


async def _flood_once(
    port: int, path: str, what: str, window: Window, counts: Counter[str]
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request(path))
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            counts["refused"] += 1
            await asyncio.sleep(_SILENT_S)
            return
        counts["opened"] += 1
        begins, goes_on = FLOODS[what]
        writer.write(begins)
        ended = asyncio.ensure_future(_end(reader))
        try:
            while not ended.done() and (left_s := window.end - time.monotonic()) > 0:
                writer.write(goes_on)
                counts["bytes"] += len(goes_on)
                sent = asyncio.ensure_future(writer.drain())
                await asyncio.wait({ended, sent}, timeout=left_s, return_when="FIRST_COMPLETED")
                sent.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await sent
        finally:
            ended.cancel()
    finally:
        writer.transport.abort()


async def _end(reader: asyncio.StreamReader) -> None:
    """Read until the server has ended its side, or reset it."""
    with suppress(OSError):
        while await reader.read(1 << 16):
            pass
