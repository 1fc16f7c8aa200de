"""What is spoken on ``/communicate``: texts, plain and traced.

Plain: the handler's text, nothing else. Traced (subprotocol ``gateway.trace.v1``): JSON that says
which worker holds the connection and which one answered. It shows topology, so it is off unless
the operator turns it on. Of both there is one session for all connections: they keep nothing.
Clients cannot subscribe; the application subscribes them (``text_subscriptions``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gateway.channels.subscriber import Encoding
from gateway.close_codes import NORMAL
from gateway.edge.sessions.base import Negotiate, OpenConnection, Recipient, Session
from gateway.edge.sessions.text_subscriptions import TextChannels
from gateway.errors import BinaryMessage, HandlerFailed
from gateway.messaging.hub import Done
from gateway.protocol.ids import WorkerId, owner_of
from gateway.protocol.receipt import Receipt
from gateway.protocol.text_endpoint import GOODBYE, TRACE_SUBPROTOCOL


class PlainText:
    """Each message is handled, and the handler's text is the answer as it is."""

    name = "text"
    farewell = NORMAL
    pings = True
    full = False
    idle = True
    received = None
    encoding = Encoding.TEXT

    def __init__(self, channels: TextChannels) -> None:
        self._channels = channels

    def messages_in(self, text: str) -> int:  # noqa: ARG002 (a session's)
        return 1

    def on_text(self, connection: OpenConnection, text: str, size_bytes: int) -> None:
        connection.dispatch(text, size_bytes)

    def go_on(self) -> None:
        """A message is done at once."""

    def on_binary(self, connection: OpenConnection) -> None:
        connection.end_with(BinaryMessage())

    def on_close(self, code: int, reason: str) -> None:
        pass

    @property
    def early(self) -> PlainText:
        return self

    def subscribe(self, connection: Recipient, channel: str, done: Done) -> None:
        self._channels.subscribe(connection, self.encoding, channel, done)

    def hand_over(self, connection: Recipient) -> None:
        self._channels.hand_over(connection)

    def unsubscribe(self, connection: OpenConnection, channel: str, done: Done) -> None:
        self._channels.unsubscribe(connection.id, channel)
        done(Receipt.WRITTEN)

    def greeting(self, connection: OpenConnection) -> bytes | None:  # noqa: ARG002
        return None

    def reply(
        self,
        text: str | None,
        *,
        handled_by: WorkerId,  # noqa: ARG002
        attempt: int,  # noqa: ARG002
    ) -> bytes | None:
        return None if text is None else text.encode()

    def failed(self, error: HandlerFailed) -> bytes | None:  # noqa: ARG002
        return None

    def push(self, text: str) -> bytes:
        return text.encode()

    def goodbye(self, code: int, reason: str) -> bytes | None:  # noqa: ARG002
        return GOODBYE.encode()


class Trace(PlainText):
    """``{"connection", "worker"}`` first, then ``{"text", "handled_by", "attempt"}`` a reply.

    Out of turn is ``{"push"}``, and what is published to a channel ``{"channel", "publication"}``.
    """

    name = "trace"
    encoding = Encoding.TRACE

    def greeting(self, connection: OpenConnection) -> bytes | None:
        return _json({"connection": connection.id, "worker": owner_of(connection.id)})

    def reply(self, text: str | None, *, handled_by: WorkerId, attempt: int) -> bytes | None:
        if text is None:
            return None
        return _json({"text": text, "handled_by": handled_by, "attempt": attempt})

    def failed(self, error: HandlerFailed) -> bytes | None:
        return _json({"error": error.reason})

    def push(self, text: str) -> bytes:
        return _json({"push": text})

    def goodbye(self, code: int, reason: str) -> bytes | None:  # noqa: ARG002
        return None  # all that it sends is JSON; the close frame says it


def _json(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode()


def text_sessions(channels: TextChannels, *, trace: bool) -> Negotiate:
    """What is spoken on ``/communicate``. ``trace``: with whoever asks for it, the trace."""
    plain, traced = PlainText(channels), Trace(channels)

    def negotiate(scope: Mapping[str, Any]) -> tuple[Session, str | None]:
        if trace and TRACE_SUBPROTOCOL in scope.get("subprotocols", ()):
            return traced, TRACE_SUBPROTOCOL
        return plain, None

    return negotiate
