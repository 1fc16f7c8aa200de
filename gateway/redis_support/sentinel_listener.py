"""One Sentinel that is listened to, for as long as it talks: it tells of a switch at once."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import hiredis

from gateway.redis_support.reconnect import reconnect_delay_s
from gateway.redis_support.stream import UNCONNECTED, Command, Place, Stream

CONNECT_S: Final = 1.0
SILENCE_S: Final = 5.0  # of the one that is listened to; then another one is
SWITCHED: Final = "+switch-master"


class SwitchListener:
    """What it hears is only a reason to ask all of them.

    Args:
        place: One of them, whichever it is. May raise LookupError: none is known.
        login: Said first.
        name: Of the primary.
    """

    def __init__(
        self,
        place: Callable[[], Awaitable[Place]],
        tls: ssl.SSLContext | None,
        login: Sequence[Command],
        name: str,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._place, self._tls, self._login = place, tls, login
        self._name = name.encode()
        self._now = now

    async def run(self, switched: Callable[[], None]) -> None:
        """Listen until cancelled.

        Args:
            switched: Called at each switch that is heard of.
        """
        failed = 0
        while True:
            began = self._now()
            try:
                async with asyncio.timeout(CONNECT_S):
                    stream = await Stream.open(await self._place(), self._tls)
                await self._listen_to(stream, switched)
            except (*UNCONNECTED, LookupError, hiredis.HiredisError):
                # One that lets us connect may refuse what we say at once, and will again.
                failed = failed + 1 if self._now() - began < SILENCE_S else 1
                await asyncio.sleep(reconnect_delay_s(failed))

    async def _listen_to(self, stream: Stream, switched: Callable[[], None]) -> None:
        """Until it is lost, or silent."""
        try:
            stream.send(*self._login, ("SUBSCRIBE", SWITCHED))
            while True:
                stream.send(("PING",))
                async with asyncio.timeout(SILENCE_S):
                    while (said := await stream.read()) not in (b"PONG", [b"pong", b""]):
                        if isinstance(said, hiredis.ReplyError):
                            raise OSError(str(said))
                        self._heard(said, switched)
                with suppress(TimeoutError):
                    async with asyncio.timeout(SILENCE_S):
                        while True:
                            self._heard(await stream.read(), switched)
        finally:
            stream.close()

    def _heard(self, said: Any, switched: Callable[[], None]) -> None:
        match said:
            case [b"message", _, bytes() as facts] if facts.split(b" ")[0] == self._name:
                switched()
