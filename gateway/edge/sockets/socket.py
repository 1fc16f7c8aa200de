"""What a connection needs of its socket, whichever way it is served.

Under our uvicorn protocol classes the ASGI scope has the extension ``gateway.socket``, which is a
``Socket``: messages come by callback and leave by a write that does not wait. Under any other ASGI
server ``gateway.edge.sockets.asgi_socket`` makes the same of ``receive`` and ``send``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from gateway.protocol.receipt import Receipt
from gateway.protocol.run import Run

EXTENSION: Final = "gateway.socket"


class Listener(Protocol):
    """Who is called when something happens on a socket. Must not block and must not raise."""

    def on_text(self, text: str) -> None:
        """A whole text message, its UTF-8 checked."""
        ...

    def on_binary(self) -> None:
        """A whole binary message; its content is of no interest here."""
        ...

    def on_close(self, code: int, reason: str) -> None:
        """The end, once: the peer's close, our own, or 1006. Nothing follows it."""
        ...


class Socket(Protocol):
    """One accepted WebSocket. No method waits; after the end they do nothing."""

    @property
    def buffered_bytes(self) -> int:
        """What was written and the kernel has not taken yet."""
        ...

    @property
    def written_bytes(self) -> int:
        """What was written since the start, in the same measure."""
        ...

    @property
    def ping_unanswered_s(self) -> float | None:
        """How long a ping has waited for its pong. None: none waits, or nobody here can know."""
        ...

    @property
    def takes_writes(self) -> bool:
        """Whether a write would be taken. Not after either side's close has come or gone."""
        ...

    def start(self, listener: Listener, *, farewell: tuple[int, str], pings: bool = True) -> None:
        """Deliver to ``listener`` from here on. ``farewell`` answers a close of the client's.

        Args:
            pings: Ask now and then whether the client is there. False: the listener does, and a
                server that pings by itself may go on.
        """
        ...

    def write(self, payloads: Sequence[bytes]) -> asyncio.Future[Receipt] | None:
        """Send one text message a payload, each valid UTF-8, all in one write.

        Returns:
            None: the server has taken them. Otherwise what becomes of them, which is always told.
        """
        ...

    def write_freely(self, payloads: Sequence[bytes]) -> bool:
        """The same for short ones, if nothing waits for the kernel and the server tells nothing.

        Returns:
            False: nothing was written, and is to be by ``write``, if it can.
        """
        ...

    def write_runs(self, runs: Sequence[Run]) -> asyncio.Future[Receipt] | None:
        """The same for the messages of these, whose bytes other sockets may share."""
        ...

    def write_at_once(self, run: Run) -> bool:
        """Write a run if nothing waits for the kernel to take it, and the server tells nothing.

        Returns:
            False: nothing was written, and is to be by ``write_runs``, if it can.
        """
        ...

    def write_rest(self, run: Run, taken: int) -> None:
        """Write what is behind the first ``taken`` bytes of a run, which others have written."""
        ...

    def lend(self, back: Callable[[], None]) -> int | None:
        """Let others write whole frames to the descriptor, until ``back`` is called, once: before
        a write might not be taken any more, or bytes wait for the kernel, or it is closed.

        To be asked for when nothing waits.

        Returns:
            The descriptor. None: what is written is not what the peer reads (TLS), or a task has
            to do it. That stays so.
        """
        ...

    def pause_reading(self) -> None:
        """Deliver no more messages until ``resume_reading``, not even those already read."""
        ...

    def resume_reading(self) -> None: ...

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, after everything written. ``on_close`` follows."""
        ...

    def abort(self) -> None:
        """Drop the connection at once, with whatever waits to be written. ``on_close`` follows."""
        ...
