"""Handshakes and calls of the connection API, traced."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from opentelemetry import trace
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from gateway.edge.endpoint import SocketEndpoint
from gateway.edge.handshake import Handshake
from gateway.edge.refusal import Refusal
from gateway.edge.sessions.base import Session
from gateway.edge.sockets.socket import Socket
from gateway.http_api.answers import Problem
from gateway.http_api.gate import METHODS
from gateway.protocol.envelopes.dispatching import Rejected
from gateway.tracing.attributes import CLOSE_CODE, CONNECTION, METHOD, REFUSAL, ROUTE, STATUS
from gateway.tracing.incoming import Incoming
from gateway.tracing.tracing import being_current, fail

ACCEPTED: Final = 101
SERVER_ERROR: Final = 500


class TracedEndpoint(SocketEndpoint):
    """A ``SocketEndpoint``, a span from each request to its 101 or its refusal."""

    def __init__(self, incoming: Incoming, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._incoming = incoming

    async def serve(self, websocket: WebSocket) -> None:
        scope = websocket.scope
        route = str(scope.get("path", "")).removeprefix(str(scope.get("root_path", "")))
        span = self._incoming.start(
            f"GET {route}",  # of a route that there is: otherwise nobody is here
            websocket.headers,
            {METHOD: "GET", ROUTE: route},
        )
        try:
            with being_current(span):
                await super().serve(websocket)
        except BaseException as error:
            if span.is_recording():
                fail(span, type(error).__name__)
            raise
        finally:
            if span.is_recording():  # its client has left before there was an answer
                span.end()

    def _begin(
        self, handshake: Handshake, session: Session, socket: Socket, rejected: Rejected | None
    ) -> None:
        span = trace.get_current_span()
        span.set_attribute(STATUS, ACCEPTED)
        span.set_attribute(CONNECTION, handshake.id)
        if rejected is not None:
            span.set_attribute(CLOSE_CODE, rejected.code)
        super()._begin(handshake, session, socket, rejected)
        span.end()  # of a plain ASGI server this task goes on until the socket ends

    async def _deny(self, websocket: WebSocket, refusal: Refusal) -> None:
        span = trace.get_current_span()
        span.set_attribute(STATUS, refusal.status)
        span.set_attribute(REFUSAL, refusal.reason)
        if refusal.status >= SERVER_ERROR:
            fail(span, str(refusal.status))
        await super()._deny(websocket, refusal)


class ApiCalls:
    """``Api.around``: a span for each call."""

    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    async def __call__(
        self,
        request: Request,
        route: str,
        answering: Awaitable[Response],
        *,
        known: bool,
        began_unix_ns: int,
    ) -> Response:
        method = request.method if request.method in METHODS else "_OTHER"
        span = self._incoming.start(
            f"{'HTTP' if method == '_OTHER' else method} {route}",
            request.headers,
            {METHOD: method, ROUTE: route},
            known=known,
            at_unix_ns=began_unix_ns,
        )
        status = SERVER_ERROR
        try:
            with being_current(span):
                response = await answering
            status = response.status_code
        except Problem as problem:
            status = problem.status
            raise
        finally:
            span.set_attribute(STATUS, status)
            if status >= SERVER_ERROR:
                fail(span, str(status))
            span.end()
        return response
