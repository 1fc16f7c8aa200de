"""Whether sockets left one by one in a drain, however late a busy machine was."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.worker.drain import SHARE_FOR_CLOSING


def most_early_s(times: Iterable[float], *, since: float, window_s: float, workers: int) -> float:
    """By how much the earliest of these came before its turn; 0 or less: none did.

    A worker closes late, or is seen to, and never early: so this needs no patience.

    Args:
        times: When each socket was seen to be closed, or anything that follows from it.
        since: Just before the workers were told to leave, each with its share of the sockets.
        window_s: Of their drain.
    """
    times = sorted(times)
    spread_s = SHARE_FOR_CLOSING * window_s
    return max(
        since + spread_s * (place - workers) / len(times) - at for place, at in enumerate(times, 1)
    )
