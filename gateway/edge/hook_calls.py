"""What one connection has asked of the application's hooks, and who waits for the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from gateway.close_codes import Close
from gateway.edge.connection_context import ConnectionContext
from gateway.handlers.dispatch_state import DispatchState
from gateway.protocol.centrifuge.codes import INTERNAL, LIMIT_EXCEEDED, Error
from gateway.protocol.envelopes.dispatching import Answer, Rejected
from gateway.protocol.envelopes.hooks import HookAnswered, HookDenied
from gateway.protocol.envelopes.wire import MAX_ENVELOPE_BYTES
from gateway.protocol.hooks import HookKind, HookOutcome, HookRequest, HookResult
from gateway.protocol.receipt import Receipt

Done = Callable[[HookOutcome], None]

# One envelope tells a hook all of its question: of a publication, also what a token or another hook
# has said of who publishes, which no limit of the client's messages has bounded.
MAX_ASKED_BYTES: Final = MAX_ENVELOPE_BYTES - (4 << 10)


class Asking(Protocol):
    """The connection that asks."""

    @property
    def taking(self) -> Receipt: ...

    def progressed(self) -> None: ...


class HookCalls:
    """The ``Hooks`` of one connection (``gateway.edge.sessions.base``): who waits, by the numbers
    of the conversation.
    """

    __slots__ = ("_connection", "_edge", "_state", "_waiting")

    def __init__(
        self, connection: Asking, edge: ConnectionContext, dispatch_state: DispatchState
    ) -> None:
        self._connection = connection
        self._edge = edge
        self._state = dispatch_state
        self._waiting: dict[int, Done] = {}

    def there(self, kind: HookKind, name: str | None) -> bool | None:
        return self._edge.has_hook(kind, name)

    def ask(self, request: HookRequest, done: Done) -> None:
        if self._connection.taking is not Receipt.WRITTEN:
            return
        if request.size_bytes > MAX_ASKED_BYTES:
            done(LIMIT_EXCEEDED)
            return
        self._waiting[self._state.conversation.last_number + 1] = done
        self._edge.dispatcher.ask(self._state, request)
        self._connection.progressed()

    def tell_unsubscribed(self, channel: str, code: int, reason: str) -> None:
        if self._edge.has_hook(HookKind.UNSUBSCRIBE, channel):
            request = HookRequest(HookKind.UNSUBSCRIBE, channel, code=code, reason=reason)
            self._edge.dispatcher.ask(self._state, request)

    def answered(self, number: int, answer: Answer | None) -> None:
        """Tell whoever waits. ``answer``: None when it was given up.

        What whoever waits raises goes on; if it was at an answer, it waits still, for None.
        """
        done = self._waiting.pop(number, None)
        if done is None:
            return
        try:
            done(_outcome(answer))
        except Exception:
            if answer is not None:
                self._waiting[number] = done
            raise


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
