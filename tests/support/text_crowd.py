"""Plain text sockets that count what channels bring them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import msgspec
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.support.centrifuge_messages import Data

_read = msgspec.json.Decoder(Data).decode


class TextSocket(WSListener):
    """One socket after the other, at the port that ``port`` says.

    Attributes:
        last: The number of the newest publication of each channel.
        got: How many publications of each.
        texts: What else it was sent.
        disordered: How often a number was not above the last.
    """

    def __init__(self, query: str) -> None:
        self.query = query
        self.transport: WSTransport | None = None
        self.last: dict[str, int] = {}
        self.got: Counter[str] = Counter()
        self.texts: list[str] = []
        self.disordered = 0
        self.close_code = 0

    @property
    def missed(self) -> int:
        """How many are missing between the first and the last of its channels, if all are live."""
        return sum(self.last.values()) - self.got.total()

    async def connect(self, port: int) -> None:
        """Connect, and try again until it works."""
        while True:
            try:
                await ws_connect(lambda: self, f"ws://127.0.0.1:{port}/communicate?{self.query}")
            except (WSError, OSError, TimeoutError):
                await asyncio.sleep(0.1)
            else:
                return

    def say(self, text: str) -> None:
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, text.encode())

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.close_code = cast(int, WSCloseCode.ABNORMAL_CLOSURE)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_code = cast(int, frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            self._take(frame.get_payload_as_utf8_text())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.transport = None

    def _take(self, text: str) -> None:
        if not text.startswith("{"):
            self.texts.append(text)
            return
        data: Any = _read(text)
        self.disordered += data.n <= self.last.get(data.c, 0)
        self.last[data.c] = data.n
        self.got[data.c] += 1
