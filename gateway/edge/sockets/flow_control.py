"""Whether one HTTP connection is read: as its application wants, and as its protocol can take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from uvicorn.protocols.http.flow_control import FlowControl


def _nothing() -> None:
    pass


class ReadFlowControl(FlowControl):
    """Keeps apart whether anybody wants to read and whether the transport is read."""

    def __init__(self, transport: asyncio.Transport, resumed: Callable[[], None]) -> None:
        super().__init__(transport)
        self._stopped = False
        self._resumed = resumed

    def pause_reading(self) -> None:
        self.read_paused = True
        self.pause_transport()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._resumed()

    def end(self) -> None:
        """Nobody is told any more, nor kept for it."""
        self._resumed = _nothing

    def pause_transport(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._transport.pause_reading()

    def resume_transport(self) -> None:
        if self._stopped and not self.read_paused:
            self._stopped = False
            self._transport.resume_reading()
