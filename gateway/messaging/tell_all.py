"""Those who wait for one outcome are all told, whatever any of them makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from gateway.log import get_logger

log = get_logger(__name__)

_T = TypeVar("_T")


def tell_all(waiting: Iterable[Callable[[_T], object]], outcome: _T) -> None:
    """Call each. What one raises is logged, and keeps it from nobody else."""
    for told in waiting:
        try:
            told(outcome)
        except Exception:
            log.exception("outcome not told")
