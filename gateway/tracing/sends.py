"""What is asked of the owners of connections, traced: by whoever asks, and at the owner."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

from opentelemetry.trace import Span, SpanKind

from gateway.errors import EnvelopeTooLarge
from gateway.messaging.link_transport import LinkTransport
from gateway.messaging.owner_receipts import OwnerReceipts
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.envelopes.requests_to_owners import (
    ListChannels,
    OwnerQuestion,
    Question,
    Receipted,
    Send,
)
from gateway.protocol.envelopes.traced import (
    TracedDisconnect,
    TracedInquire,
    TracedSend,
    TracedSubscribeConnection,
    TracedUnsubscribeConnection,
    traced,
)
from gateway.protocol.ids import WorkerId
from gateway.protocol.receipt import Receipt
from gateway.protocol.trace_context import TraceContext
from gateway.tracing.attributes import CONNECTION, DESTINATION, RECEIPT
from gateway.tracing.tracing import Tracing, carried, fail, following

_DELIVERED: Final[dict[type[OwnerQuestion], str]] = {  # a send in its own way
    TracedDisconnect: "deliver disconnect",
    TracedInquire: "deliver inquire",
    TracedSubscribeConnection: "deliver subscribe",
    TracedUnsubscribeConnection: "deliver unsubscribe",
}


class TracedLinkTransport(LinkTransport):
    """A ``LinkTransport`` that tells owners which trace a question belongs to."""

    def ask(self, owner: WorkerId, question: Question) -> bool:
        if not isinstance(question, ListChannels):
            info = self._members.known.get(owner)
            if info is not None and info.traces and (told := carried()) is not None:
                with suppress(EnvelopeTooLarge):  # perhaps it fits without
                    return super().ask(owner, traced(question, told))
        return super().ask(owner, question)


class TracedRequestsToOwners(RequestsToOwners):
    """``RequestsToOwners``, a span around each question about a connection."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        with self._asking("send", connection) as span:
            receipt = await super().send(connection, text, key=key)
            span.set_attribute(RECEIPT, receipt.value)
            return receipt

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt:
        with self._asking("disconnect", connection) as span:
            receipt = await super().disconnect(connection, code, reason)
            span.set_attribute(RECEIPT, receipt.value)
            return receipt

    async def subscribe(self, connection: str, channel: str) -> Receipt:
        with self._asking("subscribe", connection, channel) as span:
            receipt = await super().subscribe(connection, channel)
            span.set_attribute(RECEIPT, receipt.value)
            return receipt

    async def unsubscribe(self, connection: str, channel: str) -> Receipt:
        with self._asking("unsubscribe", connection, channel) as span:
            receipt = await super().unsubscribe(connection, channel)
            span.set_attribute(RECEIPT, receipt.value)
            return receipt

    async def inquire(self, connection: str) -> Receipted:
        with self._asking("inquire", connection) as span:
            told = await super().inquire(connection)
            span.set_attribute(RECEIPT, Receipt(told.receipt).value)
            return told

    def _asking(
        self, name: str, connection: str, channel: str | None = None
    ) -> AbstractContextManager[Span]:
        told = {CONNECTION: str(connection)}
        if channel is not None:
            told[DESTINATION] = str(channel)
        return self._tracing.span(name, SpanKind.PRODUCER, attributes=told)


class TracedOwnerReceipts(OwnerReceipts):
    """``OwnerReceipts``, a span from each question to what became of it."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing
        self._asked: dict[tuple[WorkerId, int], Span] = {}  # by requester and number
        self._plainly = self._answer
        self._answer = self._answer_traced

    def asked(self, requester: WorkerId, question: OwnerQuestion) -> None:
        name = _DELIVERED.get(type(question))
        if name is None or self._holding():
            super().asked(requester, question)
            return
        told = {CONNECTION: question.connection}
        if (channel := getattr(question, "channel", None)) is not None:
            told[DESTINATION] = channel
        trace: TraceContext = question.trace  # type: ignore[union-attr]  # each in that table has one
        span = self._tracing.start(name, SpanKind.CONSUMER, following(trace), attributes=told)
        if span.is_recording():
            self._asked[requester, question.number] = span
        try:
            super().asked(requester, question)
        except BaseException as error:
            if self._asked.pop((requester, question.number), None) is not None:
                fail(span, type(error).__name__)
                span.end()
            raise

    def _answer_traced(self, requester: WorkerId, answer: Receipted, unlinked: bool) -> None:
        span = self._asked.pop((requester, answer.number), None)
        if span is not None:
            span.set_attribute(RECEIPT, Receipt(answer.receipt).value)
            if answer.error is not None:
                fail(span, answer.error)
            span.end()
        self._plainly(requester, answer, unlinked)

    def _push(self, question: Send, done: Callable[[Receipt], None]) -> None:
        if not isinstance(question, TracedSend):
            super()._push(question, done)
            return
        span = self._tracing.start(
            "deliver send",
            SpanKind.CONSUMER,
            following(question.trace),
            attributes={CONNECTION: question.connection},
        )

        def ended(receipt: Receipt) -> None:
            span.set_attribute(RECEIPT, receipt.value)
            span.end()
            done(receipt)

        try:
            super()._push(question, ended)
        except BaseException as error:
            if span.is_recording():  # or what comes after its end has raised
                fail(span, type(error).__name__)
                span.end()
            raise
