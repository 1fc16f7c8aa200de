"""The way to the owner of a connection, wherever it is. The id says who that is: no look-up."""

from __future__ import annotations

import structlog

from gateway.errors import EnvelopeTooLarge, HandlerFailed
from gateway.links import Links
from gateway.protocol.envelope import Answer, Failed
from gateway.protocol.ids import WorkerId

log = structlog.stdlib.get_logger(__name__)


class Router:
    """Sends what concerns a connection to the worker that waits for it."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def answer(self, edge: WorkerId, answer: Answer) -> None:
        """Send an answer back to the edge that asked. One that cannot be sent becomes an error."""
        try:
            self._links.send(edge, answer)
        except (EnvelopeTooLarge, UnicodeEncodeError) as error:
            why = str(error) if isinstance(error, EnvelopeTooLarge) else "it is not Unicode"
            log.error("answer not sendable", connection_id=answer.connection, why=why)
            failed = Failed(answer.connection, answer.number, answer.attempt, HandlerFailed.code)
            self._links.send(edge, failed)

    def congested(self, edge: WorkerId) -> bool:
        """Whether answers to ``edge`` pile up: start nothing more for it."""
        return self._links.full(edge)
