"""The way to the owner of a connection, wherever it is. The id says who that is: no look-up."""

from __future__ import annotations

import structlog

from gateway.errors import EnvelopeTooLarge
from gateway.links import Links
from gateway.protocol.envelope import Answer, Failed
from gateway.protocol.ids import WorkerId

log = structlog.stdlib.get_logger(__name__)


class Router:
    """Sends what concerns a connection to the worker that waits for it."""

    def __init__(self, links: Links) -> None:
        self._links = links

    def answer(self, edge: WorkerId, answer: Answer) -> None:
        """Send an answer back to the edge that asked. One that is too large becomes an error."""
        try:
            self._links.send(edge, answer)
        except EnvelopeTooLarge as error:
            log.error("answer too large", connection_id=answer.connection, error=str(error))
            failed = Failed(answer.connection, answer.number, answer.attempt, error.code)
            self._links.send(edge, failed)

    def congested(self, edge: WorkerId) -> bool:
        """Whether answers to ``edge`` pile up: start nothing more for it."""
        return self._links.full(edge)
