"""What clients of the text endpoint are sent, plain and traced.

Plain: the handler's text, nothing else. Traced (subprotocol ``gateway.trace.v1``): JSON that says
which worker holds the connection and which one answered. It shows topology, so it is off unless
the operator turns it on.
"""

from __future__ import annotations

import json
from typing import Final, Protocol

from gateway.errors import HandlerFailed
from gateway.protocol.ids import ConnectionId, WorkerId, owner_of

GOODBYE: Final = "Bye!!!"
TRACE_SUBPROTOCOL: Final = "gateway.trace.v1"


class Codec(Protocol):
    """How one connection's answers are written down.

    ``failed`` returns the text that tells a client of a failed handler, or None where the codec
    has no words for it and the connection must be closed. ``goodbye`` is the last message before
    the server closes.
    """

    name: str
    goodbye: str | None

    def greeting(self, connection: ConnectionId) -> str | None: ...

    def reply(self, text: str, *, handled_by: WorkerId, attempt: int) -> str: ...

    def push(self, text: str) -> str: ...

    def failed(self, error: HandlerFailed) -> str | None: ...


class PlainText:
    """The handler's text as it is."""

    name = "text"
    goodbye: str | None = GOODBYE

    def greeting(self, connection: ConnectionId) -> None:  # noqa: ARG002 (the codec's shape)
        return None

    def reply(self, text: str, *, handled_by: WorkerId, attempt: int) -> str:  # noqa: ARG002
        return text

    def push(self, text: str) -> str:
        return text

    def failed(self, error: HandlerFailed) -> None:  # noqa: ARG002
        return None


class Trace:
    """``{"connection", "worker"}`` first, then ``{"text", "handled_by", "attempt"}`` a reply.

    What is sent out of turn is ``{"push"}``.
    """

    name = "trace"
    goodbye: str | None = None  # every message of this codec is JSON; the close frame says it

    def greeting(self, connection: ConnectionId) -> str:
        return json.dumps({"connection": connection, "worker": owner_of(connection)})

    def reply(self, text: str, *, handled_by: WorkerId, attempt: int) -> str:
        return json.dumps({"text": text, "handled_by": handled_by, "attempt": attempt})

    def push(self, text: str) -> str:
        return json.dumps({"push": text})

    def failed(self, error: HandlerFailed) -> str:
        return json.dumps({"error": error.reason})
