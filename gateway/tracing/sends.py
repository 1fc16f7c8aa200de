"""What is sent to connections, traced: by whoever sends it, and at the owner."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from opentelemetry.trace import SpanKind

from gateway.errors import EnvelopeTooLarge
from gateway.messaging.link_transport import LinkTransport
from gateway.messaging.owner_receipts import OwnerReceipts
from gateway.messaging.requests_to_owners import RequestsToOwners
from gateway.protocol.envelopes.requests_to_owners import Question, Send
from gateway.protocol.envelopes.traced import TracedSend, traced
from gateway.protocol.ids import WorkerId
from gateway.protocol.receipt import Receipt
from gateway.tracing.attributes import CONNECTION, RECEIPT
from gateway.tracing.tracing import Tracing, carried, fail, following


class TracedLinkTransport(LinkTransport):
    """A ``LinkTransport`` that tells owners which trace a send belongs to."""

    def ask(self, owner: WorkerId, question: Question) -> bool:
        if isinstance(question, Send):
            info = self._members.known.get(owner)
            if info is not None and info.traces and (told := carried()) is not None:
                with suppress(EnvelopeTooLarge):  # perhaps it fits without
                    return super().ask(owner, traced(question, told))
        return super().ask(owner, question)


class TracedRequestsToOwners(RequestsToOwners):
    """``RequestsToOwners``, a span around each send and each disconnect."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        told = {CONNECTION: str(connection)}
        with self._tracing.span("send", SpanKind.PRODUCER, attributes=told) as span:
            receipt = await super().send(connection, text, key=key)
            span.set_attribute(RECEIPT, receipt.value)
            return receipt

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt:
        told = {CONNECTION: str(connection)}
        with self._tracing.span("disconnect", SpanKind.PRODUCER, attributes=told) as span:
            receipt = await super().disconnect(connection, code, reason)
            span.set_attribute(RECEIPT, receipt.value)
            return receipt


class TracedOwnerReceipts(OwnerReceipts):
    """``OwnerReceipts``, a span from the send to what became of it."""

    def __init__(self, tracing: Tracing, *parts: Any, **options: Any) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing

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
