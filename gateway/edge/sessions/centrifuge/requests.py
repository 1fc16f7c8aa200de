"""What clients of the Centrifuge protocol ask for, done with the parts of this worker."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Final

from gateway.edge.sessions.centrifuge.authentication import Authentication
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.log import get_logger
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.commands import Connect, Refresh, Request
from gateway.protocol.centrifuge.replies import Empty
from gateway.protocol.centrifuge.session import Answer

log = get_logger(__name__)

AVAILABLE: Final[frozenset[type[Request]]] = frozenset({Refresh})


class ClientRequests:
    """``Requests`` of one worker."""

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication
        self._answering: set[asyncio.Task[None]] = set()
        self.available = AVAILABLE

    def ask(self, session: CentrifugeSession, ticket: int, request: Request) -> None:
        connection = session.connection
        if connection is None:
            return
        match request:
            case Connect():
                answer = self._authentication.connect(session, connection, request)
                self._answer_later(session, ticket, answer)
            case Refresh():
                answer = self._authentication.refresh(session, connection, request)
                self._answer_later(session, ticket, answer)
            case _:  # the end of a subscription, of which there are none
                session.answer(ticket, Empty())

    def _answer_later(
        self, session: CentrifugeSession, ticket: int, answer: Coroutine[None, None, Answer]
    ) -> None:
        """Answer when it is known, and if it never is: with an error after which clients retry."""
        task = asyncio.create_task(_answer(session, ticket, answer))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)


async def _answer(
    session: CentrifugeSession, ticket: int, coming: Coroutine[None, None, Answer]
) -> None:
    answer: Answer = codes.INTERNAL
    try:
        answer = await coming
    except Exception:
        log.exception("request failed")
    finally:
        session.answer(ticket, answer)
