"""The way to the owner of a connection, wherever it is. The id says who that is: no look-up."""

from __future__ import annotations

from collections.abc import Collection

from gateway.errors import EnvelopeTooLarge, HandlerFailed
from gateway.messaging.links import Links
from gateway.messaging.peer_queue import SMALL_BYTES
from gateway.protocol.envelopes.dispatching import Answer, Failed, Reply
from gateway.protocol.envelopes.requests_to_owners import Question, Receipted, Send
from gateway.protocol.ids import WorkerId
from gateway.protocol.members import Members


class LinkTransport:
    """Sends what concerns a connection to the worker that waits for it, or that owns it.

    Attributes:
        crowded: Only of these workers need one ask whether they are ``congested``.
    """

    def __init__(self, links: Links, members: Members) -> None:
        self._links = links
        self._members = members
        self.crowded: Collection[WorkerId] = links.crowded
        links.knows = self.knows

    def answer(self, edge: WorkerId, answer: Answer) -> str | None:
        """Send an answer back to the edge that asked.

        Returns:
            Why it cannot be sent, if so: an error was sent in its place.
        """
        try:
            self._links.send(edge, answer)
            if isinstance(answer, Reply) and len(answer.text or "") > SMALL_BYTES // 4:
                queue = self._links.queue_to(edge)
                if queue is not None:
                    queue.big.add(answer.connection)
        except Exception as error:
            # Whatever an application has put there: this worker would end of it, and the next one.
            failed = Failed(answer.connection, answer.number, answer.attempt, HandlerFailed.code)
            self._links.send(edge, failed)
            return _why(error)
        return None

    def congested(self, edge: WorkerId, connection: str) -> bool:
        """Whether answers to ``edge`` pile up: start nothing more of this connection, until the
        link is relieved.

        Those whose answers are large have to wait first.
        """
        queue = self._links.queue_to(edge)
        if queue is None:
            return False
        owed_bytes = SMALL_BYTES + 1 if connection in queue.big else 0
        if queue.takes(owed_bytes):
            return False
        queue.await_room(owed_bytes)
        return True

    def knows(self, owner: WorkerId) -> bool:
        """Whether ``owner`` is believed to live (``RequestTransport``)."""
        return owner in self._members.known

    def ask(self, owner: WorkerId, question: Question) -> bool:
        """Put a question on the link to ``owner``. False: too much waits for it already."""
        # A text waits for no answer before the next: all that is sent counts as one that has much.
        if not self._links.takes(owner, SMALL_BYTES + 1 if isinstance(question, Send) else 0):
            return False
        self._links.send(owner, question)
        return True

    def receipt(self, requester: WorkerId, receipted: Receipted, unlinked: bool) -> None:
        """Answer whoever asked; a requester that is no worker has no link, and is told once."""
        if unlinked:
            self._links.tell(requester, receipted)
        else:
            self._links.send(requester, receipted)


def _why(error: Exception) -> str:
    """Why there is no envelope, without what a user wrote."""
    if isinstance(error, EnvelopeTooLarge):
        return str(error)
    if isinstance(error, UnicodeEncodeError):
        return f"it is not Unicode: a lone surrogate, {error.start} characters after its begin"
    return f"it has something that no envelope carries ({type(error).__name__})"
