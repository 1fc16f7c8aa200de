"""What the log says of an answer that no envelope can carry: whose it was, and what it was."""

from __future__ import annotations

from typing import Final

from gateway.handlers.hook_questions import log_fields
from gateway.handlers.queue import AnyDispatch
from gateway.protocol.envelopes.dispatching import (
    Admitted,
    Answer,
    DispatchConnect,
    DispatchDisconnect,
    Failed,
    Rejected,
    Reply,
)
from gateway.protocol.envelopes.hooks import DispatchHook, HookAnswered, HookDenied
from gateway.protocol.envelopes.wire import MAX_ENVELOPE_BYTES
from gateway.protocol.hooks import HookKind

EXPECTED: Final = f"Unicode, without lone surrogates, of less than {MAX_ENVELOPE_BYTES} B in all"


def unsendable(dispatch: AnyDispatch, answer: Answer) -> dict[str, str]:
    """Fields for the log: types and sizes, and nothing of what a user wrote."""
    return {
        "connection_id": dispatch.connection,
        **_hook(dispatch),
        "returned": _returned(dispatch, answer),
        "expected": EXPECTED,
    }


def _hook(dispatch: AnyDispatch) -> dict[str, str]:
    match dispatch:
        case DispatchHook(kind=kind, name=name):
            return log_fields(kind, name)
        case DispatchConnect():
            return {"hook": "on_connect"}
        case DispatchDisconnect():
            return {"hook": "on_disconnect"}
    return {"hook": "on_message"}


def _returned(dispatch: AnyDispatch, answer: Answer) -> str:
    match answer:
        case Reply(text=text):
            return f"str of {len(text or '')} characters"
        case Admitted(user=user, channels=channels):
            return f"user of {len(user or '')} characters, {len(channels)} channels"
        case HookAnswered(data=data, info=info):
            granted = isinstance(dispatch, DispatchHook) and (
                dispatch.kind == HookKind.SUBSCRIBE.value
            )
            size, more = f"{len(data or b'')} B as JSON", f"and info of {len(info or b'')} B"
            return f"Grant with data of {size}, {more}" if granted else f"a value of {size}"
        case HookDenied(message=message):
            return f"raised Denied with a message of {len(message)} characters"
        case Rejected(reason=reason):
            return f"raised Refused with a reason of {len(reason)} characters"
        case Failed(code=code):
            return f"failed: {code}"
