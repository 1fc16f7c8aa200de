"""One handshake, from the checks to the end of the socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Final, Protocol

from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from gateway.edge.addresses import peer_of
from gateway.edge.admission import (
    HANDLER_FAILED,
    NO_HANDLER,
    NOT_READY,
    WRONG_ROLE,
    Admission,
)
from gateway.edge.client_info import ClientInfo
from gateway.edge.connection_context import ConnectionContext
from gateway.edge.handshake import Handshake
from gateway.edge.refusal import Refusal
from gateway.edge.sessions.base import Negotiate, Session
from gateway.edge.sockets.asgi_socket import AsgiSocket
from gateway.edge.sockets.socket import EXTENSION, Socket
from gateway.edge.token_guard import TokenGuard
from gateway.log import get_logger
from gateway.protocol.envelopes.dispatching import Failed, Rejected
from gateway.protocol.ids import (
    RANDOM_BYTES_PER_CONNECTION_ID,
    WorkerId,
    connection_id,
)

log = get_logger(__name__)

CONNECTION_ID_HEADER: Final = b"gateway-connection-id"


class Readiness(Protocol):
    """Whether this worker takes new connections now, and whether the application must be asked."""

    @property
    def draining(self) -> bool:
        """Whether it leaves."""
        ...

    async def soon(self) -> bool:
        """Whether it takes this one, perhaps after a moment."""
        ...

    async def must_decide(self) -> bool | None:
        """Whether the application has an ``on_connect``; None when nobody alive knows."""
        ...


class SocketEndpoint:
    """Serves the handshakes of one path for one worker.

    Args:
        negotiate: Says what is spoken with a client.
        guard: Asks each handshake for a token.
    """

    def __init__(
        self,
        me: WorkerId,
        edge: ConnectionContext,
        admission: Admission,
        readiness: Readiness,
        *,
        holds_sockets: bool,
        negotiate: Negotiate,
        refused: Callable[[str], None],
        guard: TokenGuard | None = None,
    ) -> None:
        self._me = me
        self._edge = edge
        self._admission = admission
        self._readiness = readiness
        self._holds_sockets = holds_sockets
        self._negotiate = negotiate
        self._refused = refused
        self._guard = guard

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one handshake.

        Returns when the socket has ended; with the extension, once it is accepted. A task for each
        connection that only waits for its end is 10 KB.
        """
        address = peer_of(websocket.client)
        refusal = self._check(websocket, address)
        if refusal is not None:
            await self._deny(websocket, refusal)
            return
        self._admission.enter(address)
        stays: asyncio.Future[None] | None = None
        try:
            if await self._readiness.soon():
                stays = await self._serve(websocket, address)
            else:
                await self._deny(websocket, NOT_READY)
        except (OSError, WebSocketDisconnect):
            log.debug("client left during the handshake")
        finally:
            if stays is None:
                self._admission.leave(address)
            else:
                stays.add_done_callback(partial(self._left, address))

    def _left(self, address: str, _ended: object) -> None:
        self._admission.leave(address)

    def _check(self, websocket: WebSocket, address: str) -> Refusal | None:
        if not self._holds_sockets:
            return WRONG_ROLE
        scope = websocket.scope
        return self._admission.check(
            websocket.headers,
            address,
            http_version=scope.get("http_version", "1.1"),
            subprotocols=len(scope.get("subprotocols", ())),
        )

    async def _serve(self, websocket: WebSocket, address: str) -> asyncio.Future[None] | None:
        """Serve it to its end, or return what is done when it ends."""
        await websocket.receive()  # websocket.connect
        negotiated = self._negotiate(websocket.scope)
        if isinstance(negotiated, Refusal):
            await self._deny(websocket, negotiated)
            return None
        session, subprotocol = negotiated
        client = ClientInfo(
            address=address,
            headers=websocket.headers,
            query=websocket.scope.get("query_string", b"").decode("latin-1"),
            subprotocols=tuple(websocket.scope.get("subprotocols", ())),
        )
        if self._guard is not None:
            shown = await self._guard.check(websocket.headers, client.query)
            if isinstance(shown, Refusal):
                await self._deny(websocket, shown)
                return None
            client.identify(shown)
        handshake = Handshake(
            self._edge,
            connection_id(self._me, os.urandom(RANDOM_BYTES_PER_CONNECTION_ID)),
            client,
        )
        try:
            decided = await self._ask_application(handshake)
            if decided is None:
                decided = await handshake.enter_channels(session)
            if self._leaving():  # another worker may keep it
                decided = NOT_READY
            if isinstance(decided, Refusal):
                handshake.discard()
                await self._deny(websocket, decided)
                return None
            header = (CONNECTION_ID_HEADER, handshake.id.encode())
            await websocket.accept(subprotocol=subprotocol, headers=[header])
        except BaseException:
            handshake.discard()
            raise
        socket: Socket | None = websocket.scope.get("extensions", {}).get(EXTENSION)
        if socket is not None:
            self._begin(handshake, session, socket, decided)
            return handshake.ended
        plain = AsgiSocket(websocket.receive, websocket.send, certain=_is_certain(websocket))
        self._begin(handshake, session, plain, decided)
        await plain.run()
        return None

    def _begin(
        self, handshake: Handshake, session: Session, socket: Socket, rejected: Rejected | None
    ) -> None:
        connection = handshake.accepted(session, socket)
        if rejected is not None:
            connection.reject(rejected)
        else:
            handshake.open(session, connection)
        if self._leaving():  # since it was accepted
            connection.drain()

    def _leaving(self) -> bool:
        return self._readiness.draining

    async def _ask_application(self, handshake: Handshake) -> Rejected | Refusal | None:
        """None: open it. ``Rejected``: accept it and close it. A refusal: answer in HTTP."""
        must_decide = await self._readiness.must_decide()
        if must_decide is None:
            return NO_HANDLER
        if not must_decide:
            return None
        answer = await handshake.decide()
        if isinstance(answer, Rejected):
            return answer
        if answer is None:
            return NO_HANDLER
        return HANDLER_FAILED if isinstance(answer, Failed) else None

    async def _deny(self, websocket: WebSocket, refusal: Refusal) -> None:
        self._refused(refusal.reason)
        await deny(websocket, refusal)


def _is_certain(websocket: WebSocket) -> bool:
    """Whether the server raises when it is to send to a client that has gone: ASGI 2.4."""
    version = str(websocket.scope.get("asgi", {}).get("spec_version", "2.0"))
    return [int(part) for part in version.split(".") if part.isdecimal()] >= [2, 4]


async def deny(websocket: WebSocket, refusal: Refusal) -> None:
    """Answer a handshake in HTTP. A server that lacks this part of ASGI answers a bare 403."""
    if "websocket.http.response" not in websocket.scope.get("extensions", {}):
        await websocket.close()
        return
    headers = {"retry-after": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    if refusal.status == HTTPStatus.UNAUTHORIZED:
        headers["www-authenticate"] = "Bearer"  # RFC 9110 section 11.6.1
    response = PlainTextResponse(refusal.text + "\n", refusal.status, headers)
    await websocket.send_denial_response(response)
