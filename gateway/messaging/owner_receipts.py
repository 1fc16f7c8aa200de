"""What a worker answers for the connections that it holds: sends, disconnects, questions.

Everything is answered, once. A send that carries a key is written once, however often it comes
within ``REMEMBERED_S``: clients of HTTP repeat what may have been done already.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from hashlib import blake2b
from typing import Final

from gateway.errors import BrokerUnavailable, GatewayError
from gateway.log import get_logger
from gateway.messaging.hub import Hub
from gateway.messaging.tell_all import tell_all
from gateway.protocol.envelopes.requests_to_owners import (
    Disconnect,
    Inquire,
    OwnerQuestion,
    Receipted,
    Send,
    SubscribeConnection,
    UnsubscribeConnection,
)
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.receipt import Receipt

log = get_logger(__name__)

REMEMBERED_S: Final = 60.0
MAX_REMEMBERED: Final = 500_000  # about 100 MB; past it the oldest are forgotten early

_Sent = bytes  # a digest of connection, key and text


class OwnerReceipts:
    """Answers questions about this worker's connections (``gateway.worker.envelope_receivers``).

    Args:
        answer: Takes an answer to the requester; the last argument says that it is no worker.
        holding: While it is true, this worker may have been replaced, and touches no socket.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        answer: Callable[[WorkerId, Receipted, bool], None],
        holding: Callable[[], bool],
        now: Callable[[], float],
    ) -> None:
        self._hub = hub
        self._answer = answer
        self._holding = holding
        self._now = now
        self._written: set[_Sent] = set()
        self._forget_at: deque[tuple[float, _Sent]] = deque()
        self._overflowed = False
        self._under_way: dict[_Sent, list[Callable[[Receipt], None]]] = {}

    def asked(self, requester: WorkerId, question: OwnerQuestion) -> None:
        """Answer ``requester``, at once or when the socket has taken or refused what was sent."""
        if self._holding():
            return  # whoever asked has given us up, or will ask again
        match question:
            case Send():
                self._send(requester, question)
            case Disconnect():
                local = self._hub.get(question.connection)
                receipt = Receipt.GONE
                if local is not None:
                    receipt = local.disconnect(question.code, question.reason)
                self._receipt(requester, question, receipt)
            case Inquire():
                self._tell(requester, question)
            case SubscribeConnection() | UnsubscribeConnection():
                self._change_subscription(requester, question)

    def _change_subscription(
        self, requester: WorkerId, question: SubscribeConnection | UnsubscribeConnection
    ) -> None:
        local = self._hub.get(question.connection)
        done = partial(self._subscription_changed, requester, question)
        if local is None:
            done(Receipt.GONE)
        elif isinstance(question, SubscribeConnection):
            local.subscribe(question.channel, done)
        else:
            local.unsubscribe(question.channel, done)

    def _subscription_changed(
        self, requester: WorkerId, question: OwnerQuestion, result: Receipt | GatewayError
    ) -> None:
        receipt, error = Receipt.UNREACHABLE, None
        if isinstance(result, Receipt):
            receipt = result
        elif not isinstance(result, BrokerUnavailable):
            error = result.code
        receipted = Receipted(question.connection, question.number, receipt, error=error)
        self._answer(requester, receipted, question.unlinked)

    def _send(self, requester: WorkerId, question: Send) -> None:
        receipt = partial(self._receipt, requester, question)
        if question.key is None:
            self._push(question, receipt)
            return
        sent = _digest(question.connection, question.key, question.text)
        if sent in self._written:
            receipt(Receipt.WRITTEN)
        elif sent in self._under_way:
            self._under_way[sent].append(receipt)
        else:
            self._under_way[sent] = [receipt]
            try:
                self._push(question, partial(self._keyed_done, sent))
            except BaseException:  # the same send again is not to wait for this one
                self._under_way.pop(sent, None)
                raise

    def _push(self, question: Send, done: Callable[[Receipt], None]) -> None:
        local = self._hub.get(question.connection)
        if local is None:
            done(Receipt.GONE)
        else:
            local.push(question.text, done)

    def _keyed_done(self, sent: _Sent, receipt: Receipt) -> None:
        if receipt is Receipt.WRITTEN:
            self._remember(sent)
        tell_all(self._under_way.pop(sent, ()), receipt)

    def _remember(self, sent: _Sent) -> None:
        if len(self._forget_at) >= MAX_REMEMBERED:
            self._written.discard(self._forget_at.popleft()[1])
            if not self._overflowed:
                self._overflowed = True
                log.warning("keys forgotten early", remembered=MAX_REMEMBERED)
        self._written.add(sent)
        self._forget_at.append((self._now() + REMEMBERED_S, sent))

    def forget_old(self) -> None:
        """Called now and then."""
        now = self._now()
        while self._forget_at and self._forget_at[0][0] <= now:
            self._written.discard(self._forget_at.popleft()[1])

    def _tell(self, requester: WorkerId, question: Inquire) -> None:
        local = self._hub.get(question.connection)
        receipt = Receipt.GONE if local is None else local.taking
        is_open = local is not None and receipt is Receipt.WRITTEN
        particulars = local.particulars() if local is not None and is_open else None
        answer = Receipted(question.connection, question.number, receipt, particulars)
        self._answer(requester, answer, question.unlinked)

    def _receipt(self, requester: WorkerId, question: OwnerQuestion, receipt: Receipt) -> None:
        answer = Receipted(question.connection, question.number, receipt)
        self._answer(requester, answer, question.unlinked)


def _digest(connection: ConnectionId, key: str, text: str) -> bytes:
    digest = blake2b(digest_size=16)
    for part in (connection, key, text):
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.digest()
