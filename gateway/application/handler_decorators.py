"""The decorators with which an application says what handles its messages, and what is asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeVar, overload

from gateway.handlers.definitions import Handlers, OnConnect, OnDisconnect, OnMessage
from gateway.handlers.hook_requests import OnPublish, OnRpc, OnSubscribe, OnUnsubscribe
from gateway.protocol.hooks import HookKind, check_pattern

_NONE_YET: Final[Any] = object()  # not None: what is no handler is refused, and None is none
_Handler = TypeVar("_Handler", bound=Callable[..., Awaitable[Any]])


class HandlerDecorators:
    """The decorators.

    Attributes:
        handlers: What they were given.
    """

    def __init__(self) -> None:
        self.handlers = Handlers()

    @overload
    def on_message(self, handler: OnMessage) -> OnMessage: ...
    @overload
    def on_message(self) -> Callable[[OnMessage], OnMessage]: ...
    def on_message(
        self, handler: OnMessage = _NONE_YET
    ) -> OnMessage | Callable[[OnMessage], OnMessage]:
        """Call ``handler`` with every message; what it returns is sent back, None sends nothing.

        Messages of one connection are handled one at a time, in order. A handler runs once while
        workers live, and perhaps again, with the same ``message.id``, when one dies. One that
        raises or takes longer than ``GATEWAY_HANDLER_SECONDS`` closes its connection with 1011.
        """
        return self._register("on_message", handler)

    @overload
    def on_connect(self, handler: OnConnect) -> OnConnect: ...
    @overload
    def on_connect(self) -> Callable[[OnConnect], OnConnect]: ...
    def on_connect(
        self, handler: OnConnect = _NONE_YET
    ) -> OnConnect | Callable[[OnConnect], OnConnect]:
        """Call ``handler`` before a socket is accepted.

        It may return who the user is, or an ``Admit``, which says until when besides.
        ``raise Refused(code, reason)`` accepts the socket and closes it with this code, since a
        browser shows a page no HTTP status. Any other error answers the handshake with 500.
        """
        return self._register("on_connect", handler)

    @overload
    def on_disconnect(self, handler: OnDisconnect) -> OnDisconnect: ...
    @overload
    def on_disconnect(self) -> Callable[[OnDisconnect], OnDisconnect]: ...
    def on_disconnect(
        self, handler: OnDisconnect = _NONE_YET
    ) -> OnDisconnect | Callable[[OnDisconnect], OnDisconnect]:
        """Call ``handler`` after a socket has ended: at least once, also when its worker died.

        After a worker's death, or when a drain was over before, the connection has its id, user,
        address and user agent only. Until the handler has returned, the connection is still listed.
        """
        return self._register("on_disconnect", handler)

    def on_subscribe(self, channels: str) -> Callable[[OnSubscribe], OnSubscribe]:
        """Ask the decorated hook whether a client may subscribe to one of ``channels``.

        A name, or a beginning with ``*`` behind it; the longest that fits decides. It returns None
        for yes, or a ``Grant``. ``raise Denied(…)`` answers the client with an error, ``raise
        Refused(…)`` closes its connection; any other error is answered with 100.

        Hooks are handled like messages: in order with what else their connection sends, once while
        workers live, perhaps again when one dies, and cancelled after ``GATEWAY_HANDLER_SECONDS``.
        """
        return self._hook(HookKind.SUBSCRIBE, channels)

    def on_publish(self, channels: str) -> Callable[[OnPublish], OnPublish]:
        """Ask the decorated hook about each publication of a client to one of ``channels``.

        What it returns is published instead; None publishes what the client sent, byte for byte.
        Otherwise as ``on_subscribe``.
        """
        return self._hook(HookKind.PUBLISH, channels)

    def on_unsubscribe(self, channels: str) -> Callable[[OnUnsubscribe], OnUnsubscribe]:
        """Tell the decorated hook that a client is subscribed no more to one of ``channels``.

        At least once, before ``on_disconnect`` where the connection has ended; but not after the
        death of the worker that held it, where ``on_disconnect`` alone is called.
        """
        return self._hook(HookKind.UNSUBSCRIBE, channels)

    def on_rpc(self, methods: str) -> Callable[[OnRpc], OnRpc]:
        """Have clients call the decorated hook; what it returns is the result.

        Otherwise as ``on_subscribe``.
        """
        return self._hook(HookKind.RPC, methods)

    def _hook(self, kind: HookKind, pattern: str) -> Callable[[_Handler], _Handler]:
        check_pattern(pattern)  # now, and not where the hook is given
        return partial(self.handlers.hooks.set, kind, pattern)

    def _register(self, kind: str, handler: _Handler) -> _Handler | Callable[[_Handler], _Handler]:
        """Register it, or, for who has written parentheses, whatever follows."""
        if handler is _NONE_YET:
            return partial(self.handlers.set, kind)
        return self.handlers.set(kind, handler)
