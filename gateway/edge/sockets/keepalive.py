"""Pings and pongs of one WebSocket, and what one that does not answer comes to."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.close_codes import NO_PONG
from gateway.edge.sockets.closing import Ending
from gateway.edge.sockets.server_context import ServerContext, SocketState
from gateway.protocol import frames

PONGS_PER_TURN: Final = 16


class KeepAlive(Ending):
    """The part of ``GatewayWebSocket`` that asks its peer whether it is there, and answers it."""

    __slots__ = ("_clogged", "_ping", "_pong", "_pongs")

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._ping: bytes | None = None  # what the awaited pong must say
        self._pong: bytes | None = None  # what is to be said once there is room again
        self._pongs = 0  # said in this turn of the loop, by a peer that wants many
        self._clogged = False  # the transport wants nothing more for now

    @property
    def ping_unanswered_s(self) -> float | None:
        if self._ping is None:
            return None
        return self._context.timers.since_s(int.from_bytes(self._ping, "big"))

    def on_ping(self, payload: bytes) -> None:
        if self._clogged or self._pongs >= PONGS_PER_TURN:
            self._pong = payload  # the latest will do (RFC 6455 section 5.5.3), a flood would not
        elif self._state is SocketState.OPEN:
            if not self._pongs:
                asyncio.get_running_loop().call_soon(self._end_turn)
            self._pongs += 1
            self._write(frames.header(frames.PONG, len(payload)) + payload)

    def _end_turn(self) -> None:
        self._pongs = 0
        self._say_pong()

    def _say_pong(self) -> None:
        if self._pong is not None and not self._clogged:
            payload, self._pong = self._pong, None
            self.on_ping(payload)

    def on_pong(self, payload: bytes) -> None:
        if payload == self._ping and self._state is SocketState.OPEN:
            self._ping = None
            self._put_deadline(self._context.ping_interval_s)

    def due(self, slot: int) -> None:
        if slot != self._slot or self._state is not SocketState.OPEN:
            super().due(slot)
            return
        context = self._context
        interval_s, timeout_s = context.ping_interval_s, context.ping_timeout_s
        if self._stopped:
            self._ping = None  # pongs are not read either, so their absence says nothing
            self._put_deadline(interval_s)
        elif self._ping is None or not timeout_s:
            self._ping = slot.to_bytes(8, "big")
            self._write(frames.header(frames.PING, 8) + self._ping)
            self._put_deadline(timeout_s or interval_s)
        else:
            self._fail(*NO_PONG)

    def pause_writing(self) -> None:
        self._clogged = True
        self._take_back()
        self._transport.set_write_buffer_limits()  # what it was to tell while lent, it has told
        if self._asgi is not None:
            self._asgi.pause_writing()

    def resume_writing(self) -> None:
        self._clogged = False
        self._say_pong()
        if self._asgi is not None:
            self._asgi.resume_writing()
