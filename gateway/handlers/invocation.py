"""One dispatch handled: what the application is called with, and what becomes of its answer."""

from __future__ import annotations

import asyncio
from contextvars import Context
from dataclasses import replace

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
    """

    def __init__(self, handlers: Handlers, *, seconds: float, context: Context) -> None:
        self._handlers = handlers
        self._seconds = seconds
        self._context = context

    async def handle(self, queue: Queue, dispatch: AnyDispatch) -> Answer:
        """Run the handler that this is for. Raises nothing but the end of this worker."""
        connection, number, attempt = dispatch.connection, dispatch.number, dispatch.attempt
        if queue.context is None:
            queue.context = self._context.copy()
            bind_connection(queue.context, connection)
        failed = Failed(connection, number, attempt, HandlerFailed.code)
        answer: Answer = failed
        try:
            answer = await isolated(self.call(queue, dispatch), queue.context.copy())
        except (Refused, Denied) as said:
            refused = refusal(dispatch, said)
            if refused is None:
                log.exception("handler failed", **_about(dispatch))
            else:
                answer = refused
        except asyncio.CancelledError:
            if queue.cancels:
                log.error("handler cancelled", **_about(dispatch), after_s=self._seconds)
            elif queue.task is None or queue.task.cancelling():
                raise
            else:  # the handler awaited something that somebody else has cancelled
                log.exception("handler failed", **_about(dispatch))
        except WrongAnswer as wrong:
            log.error("handler failed", **_about(dispatch), why=str(wrong))
        except BaseException:  # the message would end one worker after the other
            log.exception("handler failed", **_about(dispatch))
        if not queue.cancels:
            return answer
        queue.uncancel()
        return failed

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
                if returned is not None and not isinstance(returned, str):
                    returned = reply(returned, handlers.on_message)  # which raises
                return Reply(name, number, attempt, returned)
            case DispatchConnect():
                admit = Admit()
                if handlers.on_connect is not None:
                    admit = decision(await handlers.on_connect(connection), handlers.on_connect)
                # What a token has said stays, where the application says nothing.
                user = connection.user if admit.user is None else admit.user
                until = admit.expires_unix_s
                until = connection.expires_at if until is None else until
                queue.connection = replace(connection, user=user, expires_at=until)
                return Admitted(name, number, attempt, user, until, tuple(admit.channels))
            case DispatchDisconnect():
                if handlers.on_disconnect is not None:
                    await handlers.on_disconnect(connection)
                return Reply(name, number, attempt, None)
            case DispatchHook():
                asked = question(dispatch, handlers.hooks, connection)
                if isinstance(asked, HookDenied):
                    return asked
                return asked.answer(await asked.hook(asked.given))


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
