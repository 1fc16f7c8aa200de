"""Commands of clients of the Centrifuge protocol, traced: each from its frame to its reply."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry.trace import SpanKind

from gateway.close_codes import Close
from gateway.edge.sessions.base import OpenConnection
from gateway.edge.sessions.centrifuge.requests import ClientRequests
from gateway.edge.sessions.centrifuge.results import as_error
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.errors import GatewayError
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import Publish, Request, Rpc
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.centrifuge.steps import Ask
from gateway.tracing.attributes import CONNECTION, DESTINATION, ERROR_CODE, RPC_METHOD
from gateway.tracing.connections import ConnectionTraces
from gateway.tracing.tracing import ROOT, Tracing, being_current, fail


class TracedClientRequests(ClientRequests):
    """``ClientRequests``, a trace for each command."""

    def __init__(
        self, tracing: Tracing, traces: ConnectionTraces, *parts: Any, **options: Any
    ) -> None:
        super().__init__(*parts, **options)
        self._tracing = tracing
        self._traces = traces

    def ask(self, session: CentrifugeSession, ask: Ask) -> None:
        """All of them by ``_ask``, publications too."""
        connection = session.connection
        if connection is None:
            return
        answer = partial(session.answer, ask.ticket)
        try:
            self._ask(session, connection, ask, answer)
        except GatewayError as error:
            answer(as_error(error))

    def _ask(
        self,
        session: CentrifugeSession,
        connection: OpenConnection,
        ask: Ask,
        answer: Callable[[Answer], None],
    ) -> None:
        span = self._tracing.start(
            type(ask.request).__name__.lower(),
            SpanKind.SERVER,
            ROOT,
            link=self._traces.handshake(connection.id),
            attributes={CONNECTION: connection.id, **_subject(ask.request)},
        )

        def answered(said: Answer) -> None:
            if isinstance(said, Error | Close) and span.is_recording():
                span.set_attribute(ERROR_CODE, said.code)
            try:
                answer(said)
            except BaseException as error:
                if span.is_recording():  # or its connection was closed before
                    fail(span, type(error).__name__)
                raise
            finally:
                self._traces.ended(connection.id, span)

        self._traces.begun(connection.id, span)
        before, self._traces.command = self._traces.command, span
        try:
            with being_current(span):
                if isinstance(ask.request, Publish):
                    self._publishing.publish(session, connection, ask.request, answered)
                else:
                    super()._ask(session, connection, ask, answered)
        except BaseException as error:  # of ours it is the answer; of any, nothing comes after it
            if span.is_recording():  # or it was answered before
                fail(span, type(error).__name__)
                self._traces.ended(connection.id, span)
            raise
        finally:
            self._traces.command = before


def _subject(request: Request) -> dict[str, str]:
    if isinstance(request, Rpc):
        return {RPC_METHOD: request.method}
    channel = getattr(request, "channel", None)
    return {DESTINATION: channel} if isinstance(channel, str) else {}
