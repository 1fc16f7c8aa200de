"""The part of a connection that asks hooks, where there are none."""

from __future__ import annotations

from collections.abc import Callable

from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest


class Hookless:
    """Of an ``OpenConnection``, for tests: the application has no hooks."""

    def has_hook(self, kind: HookKind, name: str) -> bool | None:
        return False

    def call(self, request: HookRequest, done: Callable[[HookOutcome], None]) -> None:
        raise AssertionError(request)

    def tell_unsubscribed(self, channel: str, code: int, reason: str) -> None:
        pass
