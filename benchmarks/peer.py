"""What is measured: a peer, ours or somebody else's, and how its clients speak."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol


class Peer(Protocol):
    """Servers that can be started for one run.

    A routed echo enters at process A, is handed through Redis to process B (or back through Redis
    to the subscriber), and its answer reaches the socket at A through Redis.
    """

    @property
    def name(self) -> str: ...

    @property
    def dialect(self) -> str:
        """How clients speak, a key of ``benchmarks.dialects``.

        ``plain``: what was said comes back as it is. ``gateway``: with ``Received:`` before it.
        ``socketio``: Engine.IO's hand-shaking, then ``42["msg","..."]`` comes back as it is.
        """
        ...

    @property
    def expected_us(self) -> float | None:
        """CPU us for a message that earlier runs found at 200 connections. None: no such figure."""
        ...

    @property
    def processes(self) -> int:
        """What to give to ``start`` as ``workers``."""
        ...

    def install(self) -> None:
        """Fetch what it needs from its registry, once.

        Raises:
            Missing: It cannot be had here. Says in one line why.
        """
        ...

    def versions(self) -> dict[str, str]:
        """Package to version of what is measured."""
        ...

    def start(
        self, directory: Path, redis_url: str, workers: int
    ) -> AbstractContextManager[tuple[list[str], list[int]]]:
        """Start it, ready for messages; all of it is gone when the context is left.

        Args:
            directory: An empty folder for its files.
            redis_url: A server that nobody else uses. The harness counts its CPU time.
            workers: See ``processes``.

        Returns:
            The URLs for clients, ``{client}`` standing for the client's number; and the root pids,
            whose trees are the servers. Redis is not among them.
        """
        ...
