"""The hooks of an application: which one decides on what."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from gateway.handlers.checks import check_handler, described
from gateway.protocol.hooks import HookKind, Patterns, check_pattern

AnyHook = Callable[[Any], Awaitable[Any]]
_Hook = TypeVar("_Hook", bound=Callable[..., Awaitable[Any]])

# How its one argument is called in the line that refuses a hook.
_WANTED: Final = {
    HookKind.SUBSCRIBE: "subscription",
    HookKind.PUBLISH: "publishing",
    HookKind.UNSUBSCRIBE: "unsubscription",
    HookKind.RPC: "call",
}


class Hooks:
    """The hooks of one application, by kind and pattern."""

    def __init__(self) -> None:
        self._hooks: dict[HookKind, dict[str, AnyHook]] = {kind: {} for kind in HookKind}
        self._patterns = {kind: Patterns() for kind in HookKind}

    def set(self, kind: HookKind, pattern: str, hook: _Hook) -> _Hook:
        """Register ``hook``.

        Raises:
            TypeError: It is not an ``async def`` function of one argument, or the pattern no text.
            ValueError: That is no pattern, or there is a hook of this kind for it already.
        """
        declared, name = self._hooks[kind], f"on_{kind.value}"
        check_pattern(pattern)
        check_handler(name, hook, wanted=_WANTED[kind])
        if pattern in declared:
            raise ValueError(
                f"{described(hook)}: this gateway has an {name} handler for {pattern!r} already"
            )
        declared[pattern] = hook
        self._patterns[kind] = Patterns(declared)
        return hook

    def find(self, kind: HookKind, name: str) -> AnyHook | None:
        """The hook that decides on ``name``."""
        pattern = self._patterns[kind].longest(name)
        return None if pattern is None else self._hooks[kind][pattern]

    def declared(self) -> tuple[tuple[str, str], ...]:
        """Kind and pattern of each: what edges are told."""
        return tuple(
            (kind.value, pattern) for kind, hooks in self._hooks.items() for pattern in hooks
        )
