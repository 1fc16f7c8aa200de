"""What clients of the Centrifuge protocol ask for, done with the parts of this worker."""

from __future__ import annotations

from gateway.close_codes import BAD_REQUEST, INVALID_TOKEN
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.protocol.centrifuge.commands import Connect, Request
from gateway.protocol.centrifuge.refusals import connect_refusal
from gateway.protocol.centrifuge.replies import ConnectResult, Empty
from gateway.protocol.centrifuge.session import Answer


class ClientRequests:
    """``Requests`` of one worker.

    Args:
        allow_anonymous: Whoever shows no token is let in, without a user. Whom the application has
            let in by ``on_connect`` needs none in any case.
    """

    def __init__(self, *, allow_anonymous: bool) -> None:
        self._allow_anonymous = allow_anonymous
        self.available: frozenset[type[Request]] = frozenset()

    def ask(self, session: CentrifugeSession, ticket: int, request: Request) -> None:
        connection = session.connection
        if connection is None:
            return
        match request:
            case Connect():
                session.answer(ticket, self._connect(connection, request))
            case _:  # the end of a subscription, of which there are none
                session.answer(ticket, Empty())

    def _connect(self, connection: OpenConnection, request: Connect) -> Answer:
        refused = connect_refusal(request)
        if refused is not None:
            return refused
        if request.token:
            return INVALID_TOKEN  # nobody here can verify it
        if connection.admitted or self._allow_anonymous:
            return ConnectResult()
        return BAD_REQUEST
