"""The answer to a handshake or a request that is not served."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Refusal:
    """An HTTP answer instead of a socket. ``reason`` is a metric label, ``text`` is for people."""

    status: int
    reason: str
    text: str
    retry_after_s: int | None = None
