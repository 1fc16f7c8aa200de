"""The part of a connection that asks hooks, where there are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest


class NoHooks:
    """``Hooks`` of an application that has none."""

    def there(self, kind: HookKind, name: str | None) -> bool | None:
        return False

    def ask(self, request: HookRequest, done: Callable[[HookOutcome], None]) -> None:
        raise AssertionError(request)

    def tell_unsubscribed(self, channel: str, code: int, reason: str) -> None:
        pass


NO_HOOKS: Final = NoHooks()


class Hookless:
    """Of an ``OpenConnection``, for tests."""

    hooks = NO_HOOKS
    wants_messages = True
