"""The ASGI application's side of one WebSocket: its scope, what it receives, what it sends."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import unquote

from uvicorn.config import Config
from uvicorn.protocols.utils import (
    ClientDisconnected,
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)

from gateway.close_codes import LOST, NORMAL
from gateway.edge.sockets.upgrade import Headers, Upgrade, response
from gateway.protocol.frames import BINARY, header, text_frames

Event = MutableMapping[str, Any]
Application = Callable[
    [Any, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]
]

# What was read and not received yet; past it the transport is not read. An application that keeps
# up never gets near it, and one read of a transport may go past it.
MAX_UNRECEIVED: Final = 32

log = logging.getLogger("uvicorn.error")


def make_scope(upgrade: Upgrade, transport: asyncio.Transport, config: Config) -> dict[str, Any]:
    """The scope of one handshake, without the lifespan's state."""
    raw_path, _, query = upgrade.target.partition(b"?")
    return {
        "type": "websocket",
        "asgi": {"version": config.asgi_version, "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "wss" if is_ssl(transport) else "ws",
        "server": get_local_addr(transport),
        "client": get_remote_addr(transport),
        "root_path": config.root_path,
        "path": config.root_path + unquote(raw_path.decode("latin-1")),
        "raw_path": config.root_path.encode() + raw_path,
        "query_string": query,
        "headers": upgrade.headers,
        "subprotocols": upgrade.subprotocols,
        "extensions": {"websocket.http.response": {}},
    }


class Wire(Protocol):
    """The protocol below."""

    def accepted(self, response: bytes) -> None:
        """Send the 101. From here on there are frames."""
        ...

    def answered(self, response: bytes) -> None:
        """Send a response that is not the 101, and close."""
        ...

    def send(self, frame: bytes) -> None: ...

    def close(self, code: int, reason: str) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def returned(self, *, failed: bool) -> None:
        """The application has returned, or raised."""
        ...


class AsgiBridge:
    """What an application gets for one WebSocket.

    It lives until the application has returned, or has taken the socket for itself.
    """

    def __init__(
        self, wire: Wire, scope: dict[str, Any], upgrade: Upgrade, default_headers: Headers
    ) -> None:
        self._wire = wire
        self._scope = scope
        self._upgrade = upgrade
        self._default_headers = default_headers
        self._events: deque[Event] = deque([{"type": "websocket.connect"}])
        self._receiver: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._denial: tuple[int, Headers, list[bytes]] | None = None
        # Not bound: this would keep itself, and all that the client sent, until a collection.
        self._send: Callable[[AsgiBridge, Event], None] = AsgiBridge._decide
        self._full = False
        self.gone = False

    def start(self, application: Application, tasks: set[asyncio.Task[None]]) -> None:
        """Run the application to its end, in a task that is in ``tasks`` until then.

        Not for a client that has gone meanwhile.
        """
        if self.gone:
            self._wire.returned(failed=False)
            return
        task = asyncio.get_running_loop().create_task(self._run(application))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _run(self, application: Application) -> None:
        failed = True
        try:
            await application(self._scope, self.receive, self.send)
            failed = False
        except ClientDisconnected:
            failed = False
        except Exception:
            log.exception("Exception in ASGI application")
        finally:
            self._wire.returned(failed=failed)

    # The application's

    async def receive(self) -> Event:
        events = self._events
        while not events:
            self._receiver = asyncio.get_running_loop().create_future()
            await self._receiver
        event = events.popleft()
        if self._full and not events:
            self._full = False
            self._wire.resume_reading()
        return event

    async def send(self, event: Event) -> None:
        while self._writable is not None:
            await asyncio.shield(self._writable)
        if self.gone:
            raise ClientDisconnected
        self._send(self, event)

    # The protocol's

    def put(self, message: str | bytes) -> None:
        """A message has been read."""
        key = "text" if isinstance(message, str) else "bytes"
        self._put({"type": "websocket.receive", key: message})
        if not self._full and len(self._events) >= MAX_UNRECEIVED:
            self._full = True
            self._wire.pause_reading()

    def disconnected(self, code: int, reason: str) -> None:
        """There is no client any more."""
        if not self.gone:
            self.gone = True
            self._put({"type": "websocket.disconnect", "code": code, "reason": reason})
            self.resume_writing()

    def take(self) -> list[str | bytes]:
        """What was read and not received; it is the taker's."""
        messages = [event.get("text", event.get("bytes")) for event in self._events]
        self._events.clear()
        return [message for message in messages if message is not None]

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None:
            writable.set_result(None)

    def _put(self, event: Event) -> None:
        self._events.append(event)
        receiver, self._receiver = self._receiver, None
        if receiver is not None and not receiver.done():
            receiver.set_result(None)

    # What may be sent, by what was sent before

    def _decide(self, event: Event) -> None:
        match event["type"]:
            case "websocket.accept":
                headers = [*self._default_headers, *event.get("headers", ())]
                answer = self._upgrade.accepted(event.get("subprotocol"), headers)
                self._note("[accepted]")
                self._send = AsgiBridge._converse
                self._wire.accepted(answer)
            case "websocket.close":
                self._deny(HTTPStatus.FORBIDDEN, [], b"")
            case "websocket.http.response.start":
                self._denial = (event["status"], list(event.get("headers", ())), [])
                self._send = AsgiBridge._go_on_denying
            case other:
                raise RuntimeError(f"{other!r} cannot answer a handshake")

    def _go_on_denying(self, event: Event) -> None:
        if event["type"] != "websocket.http.response.body" or self._denial is None:
            raise RuntimeError(f"{event['type']!r} is not the body of a response")
        status, headers, body = self._denial
        body.append(event.get("body", b""))
        if not event.get("more_body", False):
            self._deny(status, headers, b"".join(body))

    def _deny(self, status: int, headers: Headers, body: bytes) -> None:
        self._note(str(int(status)))
        answer = response(status, [*self._default_headers, *headers], body)
        self._send = AsgiBridge._refuse
        self._wire.answered(answer)
        self._put({"type": "websocket.disconnect", "code": LOST.code, "reason": ""})

    def _converse(self, event: Event) -> None:
        kind = event["type"]
        if kind == "websocket.send":
            payload = event.get("bytes")
            if payload is None:
                self._wire.send(text_frames((event["text"].encode(),)))
            else:
                self._wire.send(header(BINARY, len(payload)) + payload)
        elif kind == "websocket.close":
            code, reason = event.get("code", NORMAL.code), event.get("reason") or ""
            self._send = AsgiBridge._refuse
            self._wire.close(code, reason)
            self._put({"type": "websocket.disconnect", "code": code, "reason": reason})
        else:
            raise RuntimeError(f"{kind!r} cannot be sent to an open WebSocket")

    def _refuse(self, event: Event) -> None:
        raise RuntimeError(f"{event['type']!r} after the end of the WebSocket")

    def _note(self, outcome: str) -> None:
        if log.isEnabledFor(logging.INFO):
            scope: Any = self._scope
            client, path = get_client_addr(scope), get_path_with_query_string(scope)
            log.info('%s - "WebSocket %s" %s', client, path, outcome)
