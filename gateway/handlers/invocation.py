"""One dispatch handled: what the application is called with, and what becomes of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import replace
from types import CoroutineType
from typing import Any, cast

from gateway.arguments import plain
from gateway.errors import Denied, HandlerFailed, Refused
from gateway.handlers.checks import WrongAnswer
from gateway.handlers.definitions import Admit, Handlers, Message, decision, reply
from gateway.handlers.hook_questions import log_fields, question, refusal
from gateway.handlers.isolation import isolated
from gateway.handlers.queue import AnyDispatch, Queue
from gateway.log import bind_connection, get_logger
from gateway.protocol.envelopes.dispatching import (
    Admitted,
    Answer,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Failed,
    Reply,
)
from gateway.protocol.envelopes.hooks import DispatchHook, HookDenied

log = get_logger(__name__)


class Invocation:
    """Calls the handlers of an application.

    Args:
        seconds: A handler is cancelled after this long; only for the log.
        context: Handlers run in copies of it.
        ends: Whether this worker ends. Before, a handler alone is cancelled, whoever does it.
    """

    def __init__(
        self, handlers: Handlers, *, seconds: float, context: Context, ends: Callable[[], bool]
    ) -> None:
        self._handlers = handlers
        self._seconds = seconds
        self._context = context
        self._ends = ends

    def begin(
        self, queue: Queue, dispatch: AnyDispatch
    ) -> Answer | CoroutineType[Any, Any, Answer]:
        """Run the handler that this is for, in a context of its own, until it waits.

        Raises nothing but the end of this worker.

        Returns:
            Its answer; or, where it waits, what is to be awaited for it, which raises as little.
        """
        if queue.context is None:
            queue.context = self._context.copy()
            bind_connection(queue.context, dispatch.connection)
        context = queue.context.copy()
        handling = self.call(queue, dispatch)
        try:
            waits_for = context.run(handling.send, None)
        except StopIteration as end:
            answer: Answer = end.value
        except BaseException as error:
            answer = self._instead(queue, dispatch, error)
        else:
            rest = self._go_on(queue, dispatch, isolated(handling, context, waits_for))
            return cast("CoroutineType[Any, Any, Answer]", rest)
        return self._uncancelled(queue, dispatch) if queue.cancels else answer

    async def _go_on(
        self, queue: Queue, dispatch: AnyDispatch, handling: Awaitable[Answer]
    ) -> Answer:
        try:
            answer = await handling
        except BaseException as error:
            answer = self._instead(queue, dispatch, error)
        return self._uncancelled(queue, dispatch) if queue.cancels else answer

    def _instead(self, queue: Queue, dispatch: AnyDispatch, error: BaseException) -> Answer:
        """What is answered where a handler has raised this. Raises it if this worker ends."""
        match error:
            case Refused() | Denied() if (refused := refusal(dispatch, error)) is not None:
                return refused
            case asyncio.CancelledError() if queue.cancels:
                log.error("handler cancelled", **_about(dispatch), after_s=self._seconds)
            case asyncio.CancelledError() if self._ends():
                raise error
            case WrongAnswer():
                log.error("handler failed", **_about(dispatch), why=str(error))
            case _:
                # Also what somebody else has cancelled, and the handler awaited; what has cancelled
                # the task in which it runs, itself perhaps; and what is no Exception: the message
                # would end one worker after the other.
                log.error("handler failed", **_about(dispatch), exc_info=error)
        return _failed(dispatch)

    def _uncancelled(self, queue: Queue, dispatch: AnyDispatch) -> Answer:
        queue.uncancel()
        if self._ends():
            raise asyncio.CancelledError
        return _failed(dispatch)

    async def call(self, queue: Queue, dispatch: AnyDispatch) -> Answer:
        """What this calls is a handler (``gateway.worker.loop_watch``)."""
        handlers, connection = self._handlers, queue.connection
        name, number, attempt = dispatch.connection, dispatch.number, dispatch.attempt
        match dispatch:
            case Dispatch(text=text):
                if handlers.on_message is None:
                    return Reply(name, number, attempt, None)
                message = Message(text, connection, f"{name}:{number}", attempt)
                returned: object = await handlers.on_message(message)
                if returned is not None and type(returned) is not str:
                    returned = reply(returned, handlers.on_message)
                return Reply(name, number, attempt, returned)
            case DispatchConnect():
                admit = Admit()
                if handlers.on_connect is not None:
                    admit = decision(await handlers.on_connect(connection), handlers.on_connect)
                # What a token has said stays, where the application says nothing.
                user = connection.user if admit.user is None else plain(admit.user)
                until = admit.expires_unix_s
                until = connection.expires_at if until is None else until
                queue.connection = replace(connection, user=user, expires_at=until)
                channels = tuple(map(plain, admit.channels))
                return Admitted(name, number, attempt, user, until, channels)
            case DispatchDisconnect():
                if handlers.on_disconnect is not None:
                    await handlers.on_disconnect(connection)
                return Reply(name, number, attempt, None)
            case DispatchHook():
                asked = question(dispatch, handlers.hooks, connection)
                if isinstance(asked, HookDenied):
                    return asked
                return asked.answer(await asked.hook(asked.given))


def _failed(dispatch: AnyDispatch) -> Failed:
    return Failed(dispatch.connection, dispatch.number, dispatch.attempt, HandlerFailed.code)


def _about(dispatch: AnyDispatch) -> dict[str, str]:
    """What was to be handled, for the log; of a message, only whose it was."""
    about: dict[str, str] = {"connection_id": dispatch.connection}
    match dispatch:
        case DispatchHook(kind=kind, name=name):
            about |= log_fields(kind, name)
        case DispatchConnect():
            about["event_kind"] = "CONNECT"
        case DispatchDisconnect():
            about["event_kind"] = "DISCONNECT"
    return about
