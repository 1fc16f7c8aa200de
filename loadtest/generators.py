"""The processes that make the load: what they are told to do, and what they say of themselves."""

from __future__ import annotations

import time
from typing import Any, Final

from loadtest.generator import ORDER
from loadtest.stands.base import Stand

REPEAT_S: Final = 2.0


class Generators:
    """Those of the test that is under way, or was the last.

    Args:
        runner: Locust's, which reaches them all.
    """

    def __init__(self, runner: Any) -> None:
        self._runner = runner
        self._heard: dict[str, dict[str, Any]] = {}
        self.order: dict[str, Any] = {}
        self._ordered_s = 0.0

    def begin(self, stand: Stand) -> None:
        """Another test, and nothing is known of it."""
        self._heard = {}
        self.order = {
            "serial": 0,
            "end": False,
            "stopped": False,
            "what": "",
            "per_user": 0.0,
            "pushes": 0.0,
            "api": stand.api,
            "key": stand.api_key,
        }
        self._ordered_s = 0.0

    def send(self, **changes: Any) -> None:
        """Tell all generators. ``what`` is done once by each; the rest is a state.

        Repeated now and then, for processes that came late.
        """
        fresh = any(self.order.get(name) != value for name, value in changes.items())
        if not fresh and time.monotonic() - self._ordered_s < REPEAT_S:
            return
        self.order.update(changes)
        if fresh:
            self.order["serial"] += 1
        self._ordered_s = time.monotonic()
        self._runner.send_message(ORDER, dict(self.order))

    def heard(self, told: dict[str, Any]) -> None:
        """One of them says how it stands."""
        self._heard[told["from"]] = told

    @property
    def count(self) -> int:
        """How many have said something."""
        return len(self._heard)

    @property
    def ended(self) -> bool:
        return all(told["ended"] for told in self._heard.values())

    @property
    def standing(self) -> int:
        """Users that were connected when all was over."""
        return sum(told["standing"] for told in self._heard.values())

    @property
    def connected(self) -> int:
        return sum(told["connected"] for told in self._heard.values())
