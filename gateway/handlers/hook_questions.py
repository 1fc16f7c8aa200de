"""One question of an edge to a hook: whom it is for, and how it is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.errors import Denied, Refused
from gateway.handlers.definitions import Connection
from gateway.handlers.hook_requests import UnreadableJson, given, result
from gateway.handlers.hooks import AnyHook, Hooks
from gateway.handlers.queue import AnyDispatch
from gateway.protocol.centrifuge.codes import BAD_REQUEST, INTERNAL, Error
from gateway.protocol.envelopes.dispatching import DispatchConnect, Rejected
from gateway.protocol.envelopes.hooks import DispatchHook, HookAnswered, HookDenied
from gateway.protocol.hooks import HookKind


@dataclass(frozen=True, slots=True)
class Question:
    """``hook`` is to be called with ``given``."""

    dispatch: DispatchHook
    kind: HookKind
    hook: AnyHook
    given: Any

    def answer(self, returned: object) -> HookAnswered:
        """Say what the hook has returned.

        Raises:
            WrongAnswer: It cannot be said.
        """
        connection, number, attempt = _place(self.dispatch)
        return HookAnswered(connection, number, attempt, *result(self.kind, returned, self.hook))


def question(dispatch: DispatchHook, hooks: Hooks, connection: Connection) -> Question | HookDenied:
    """What to call, or the answer where there is nothing to call.

    Raises:
        ValueError: The kind is one of another release.
    """
    request = dispatch.request
    hook = hooks.find(request.kind, request.name)
    if hook is None:  # another release of the application has it
        return _denied(dispatch, INTERNAL)
    event_id = f"{dispatch.connection}:{dispatch.number}"
    try:
        asked = given(request, connection, event_id, dispatch.attempt)
    except UnreadableJson:
        return _denied(dispatch, BAD_REQUEST)
    return Question(dispatch, request.kind, hook, asked)


def log_fields(kind: str, name: str) -> dict[str, str]:
    """Which hook was asked, and about what, for the log."""
    return {"hook": f"on_{kind}", "method" if kind == HookKind.RPC.value else "channel": name}


def refusal(dispatch: AnyDispatch, error: Refused | Denied) -> Rejected | HookDenied | None:
    """What a handler means that raises this; None where there is nothing to refuse."""
    asked = isinstance(dispatch, DispatchHook) and dispatch.kind != HookKind.UNSUBSCRIBE.value
    if isinstance(error, Refused):
        if asked or isinstance(dispatch, DispatchConnect):
            return Rejected(*_place(dispatch), error.close_code, error.reason)
    elif asked:
        return _denied(dispatch, Error(error.error_code, error.message, error.temporary))
    return None


def _denied(dispatch: AnyDispatch, error: Error) -> HookDenied:
    return HookDenied(*_place(dispatch), error.code, error.message, error.temporary)


def _place(dispatch: AnyDispatch) -> tuple[Any, int, int]:
    return dispatch.connection, dispatch.number, dispatch.attempt
