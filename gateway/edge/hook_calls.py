"""What one connection has asked of the application's hooks, and who waits for the answers."""

from __future__ import annotations

from collections.abc import Callable

from gateway.close_codes import Close
from gateway.protocol.centrifuge.codes import INTERNAL, Error
from gateway.protocol.envelopes.dispatching import Answer, Rejected
from gateway.protocol.envelopes.hooks import HookAnswered, HookDenied
from gateway.protocol.hooks import HookOutcome, HookResult

Done = Callable[[HookOutcome], None]


class HookCalls:
    """Who waits, by the numbers of the conversation."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: dict[int, Done] = {}

    def add(self, number: int, done: Done) -> None:
        self._waiting[number] = done

    def answered(self, number: int, answer: Answer | None) -> None:
        """Tell whoever waits. ``answer``: None when it was given up."""
        done = self._waiting.pop(number, None)
        if done is not None:
            done(_outcome(answer))


def _outcome(answer: Answer | None) -> HookOutcome:
    match answer:
        case HookAnswered():
            return HookResult(answer.data, answer.info, answer.expires_unix_s)
        case HookDenied():
            return Error(answer.code, answer.message, answer.temporary)
        case Rejected():
            return Close(answer.code, answer.reason)
        case _:
            return INTERNAL
