"""The head of an answer waits for the beginning of its body, and both are one write.

uvicorn writes the head as soon as an application gives it. ASGI asks for the other thing: "the
protocol server must not start sending the response to the client until it has received at least one
Response Body event".
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

JOINED_BYTES: Final = 64 << 10  # of a body; a longer one is not copied for this
_CONTINUE: Final = b"HTTP/1.1 100 "


class WholeAnswer:
    """Stands for the transport where one request is answered: what uvicorn's cycle uses of it.

    Nothing is held for longer than the application takes to give some of the body, even an empty
    piece, or to end. What ends the connection without this (``abort``) drops what is held.
    """

    __slots__ = ("_begun", "_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._begun = False

    def write(self, written: bytes) -> None:
        if self._begun:
            self._transport.write(written)
        elif not self._head:
            if written.startswith(_CONTINUE):  # before any answer
                self._transport.write(written)
            else:
                self._head = written
        elif len(written) <= JOINED_BYTES:
            self._begun = True
            self._transport.write(self._head + written)
        else:
            self.flush()
            self._transport.write(written)

    def flush(self) -> None:
        """Write the head, if it still waits: an answer to HEAD has nothing behind it."""
        if self._head and not self._begun:
            self._begun = True
            self._transport.write(self._head)

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


def answer_whole(cycle: RequestResponseCycle) -> None:
    """Have a request that nobody has answered yet be answered so."""
    cycle.transport = WholeAnswer(cycle.transport)  # type: ignore[assignment]  # what is used of one
