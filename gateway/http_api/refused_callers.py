"""Whoever calls the connection API and is not believed, in the log: now and then, and from where.

What was shown is in no line: it may be a key that is right elsewhere, or nearly right here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from gateway.log import get_logger
from gateway.log.seldom import Seldom

log = get_logger(__name__)

TELL_EACH_S: Final = 60.0
MOST_ADDRESSES: Final = 10  # that a line names, and that are remembered for it


class RefusedCallers:
    """Those of one worker.

    Args:
        now: Monotonic seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._seldom = Seldom(TELL_EACH_S, now)
        self._tries: Counter[str] = Counter()

    def refused(self, address: str, reason: str) -> None:
        """Somebody at ``address`` was refused for this reason, one of a few words."""
        if address in self._tries or len(self._tries) < MOST_ADDRESSES:
            self._tries[address] += 1
        if calls := self._seldom.again():
            tries, self._tries = self._tries, Counter()
            addresses = [each for each, _ in tries.most_common()]
            log.warning("api key refused", addresses=addresses, calls=calls, reason=reason)
