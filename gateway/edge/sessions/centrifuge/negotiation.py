"""With which sessions the handshakes of ``/connection/websocket`` are answered."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qs

from gateway.edge.refusal import Refusal
from gateway.edge.sessions.base import Negotiate, Session
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.edge.sessions.centrifuge.session_context import SessionContext

JSON_SUBPROTOCOL: Final = "centrifuge-json"
NO_PROTOBUF: Final = Refusal(
    HTTPStatus.BAD_REQUEST, "protobuf", "only JSON is spoken here, not Protobuf"
)
_FORMATS: Final = ("format", "cf_protocol")


def centrifuge_sessions(context: SessionContext) -> Negotiate:
    """A session for each connection; JSON, whether or not its subprotocol is offered."""

    def negotiate(scope: Mapping[str, Any]) -> tuple[Session, str | None] | Refusal:
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if any("protobuf" in query.get(name, ()) for name in _FORMATS):
            return NO_PROTOBUF
        offered = JSON_SUBPROTOCOL in scope.get("subprotocols", ())
        return CentrifugeSession(context), JSON_SUBPROTOCOL if offered else None

    return negotiate
