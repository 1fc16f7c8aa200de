"""Which callbacks the application has, as its handler workers say."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway.protocol.deadlines import DECISION_PATIENCE_S
from gateway.protocol.hooks import HookKind, Patterns
from gateway.protocol.members import Members


class Callbacks:
    """What the edges of one application must ask for.

    With no handler worker alive the last answers stand: it will be back, and a connection is never
    opened past a decision that the application would have wanted to make.

    Attributes:
        wants_messages: Whether it has an ``on_message``; None when no handler worker has been seen
            yet.
        wants_disconnects: Whether it has an ``on_disconnect``; None when no handler worker has been
            seen yet.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._decides: bool | None = None
        self._decider_seen = asyncio.Event()
        self.wants_messages: bool | None = None
        self.wants_disconnects: bool | None = None
        self._declared: set[tuple[str, str]] | None = None
        self._hooks: dict[HookKind, Patterns] = {}

    def has_hook(self, kind: HookKind, name: str | None) -> bool | None:
        """Whether a hook decides on ``name``, or on anything if that is None.

        Returns:
            None when no handler worker has been seen yet.
        """
        if self._declared is None:
            return None
        if name is None:
            return any(value == kind.value for value, _ in self._declared)
        return self._hooks[kind].longest(name) is not None

    async def must_decide(self) -> bool | None:
        """Whether ``on_connect`` must be asked; None when no handler worker has been seen yet."""
        if self._decides is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(DECISION_PATIENCE_S):
                    await self._decider_seen.wait()
        return self._decides

    def leave_undecided(self) -> None:
        """This worker leaves: no handshake waits for a handler worker any more."""
        self._decider_seen.set()

    def disconnects_deliverable(self) -> bool | None:
        """Whether it wants to know of disconnects; None while nobody is there to tell it."""
        if self.wants_disconnects and not self._members.handlers:
            return None
        return self.wants_disconnects

    def workers_changed(self) -> None:
        infos = [self._members.known[worker] for worker in self._members.handlers]
        if infos:
            self._decides = any(info.on_connect for info in infos)
            self.wants_messages = any(info.on_message for info in infos)
            self.wants_disconnects = any(info.on_disconnect for info in infos)
            self._declare({hook for info in infos for hook in info.hooks or ()})
            self._decider_seen.set()

    def _declare(self, hooks: set[tuple[str, str]]) -> None:
        if hooks != self._declared:
            self._declared = hooks
            self._hooks = {
                kind: Patterns(pattern for value, pattern in hooks if value == kind.value)
                for kind in HookKind
            }
