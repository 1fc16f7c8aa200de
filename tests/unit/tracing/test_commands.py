"""Commands of clients of the Centrifuge protocol: the span of each ends, whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from gateway.edge.sessions.centrifuge.requests import ClientRequests
from gateway.edge.sessions.centrifuge.session import CentrifugeSession
from gateway.errors import UnknownChannel
from gateway.protocol.centrifuge.codes import INTERNAL
from gateway.protocol.centrifuge.commands import Rpc
from gateway.protocol.centrifuge.replies import EMPTY
from gateway.protocol.centrifuge.session import Answer
from gateway.protocol.centrifuge.steps import Ask
from gateway.tracing.attributes import ERROR
from gateway.tracing.commands import TracedClientRequests
from gateway.tracing.connections import ConnectionTraces
from gateway.tracing.tracing import Tracing
from tests.support.ids import new_connection_id, new_worker_id
from tests.support.traces import Traces

Does = Callable[[Callable[[Answer], None]], None]


class Session:
    """Of one connection."""

    def __init__(self, *, fails: bool) -> None:
        self.connection = self
        self.id = new_connection_id()
        self._fails = fails

    def answer(self, ticket: object, said: Answer) -> None:
        if self._fails:
            raise RuntimeError


def raising(error: Exception) -> Does:
    def does(answer: Callable[[Answer], None]) -> None:
        raise error

    return does


def answering_and_raising(answer: Callable[[Answer], None]) -> None:
    answer(EMPTY)
    raise RuntimeError


def traced(
    monkeypatch: pytest.MonkeyPatch, does: Does
) -> tuple[TracedClientRequests, Traces, ConnectionTraces]:
    """Commands that are taken by ``does``, and what is traced of them."""

    def ask(
        _self: object, _session: object, _connection: object, _ask: object, answer: Any
    ) -> None:
        does(answer)

    monkeypatch.setattr(ClientRequests, "__init__", lambda _self: None)
    monkeypatch.setattr(ClientRequests, "_ask", ask)
    traces, connections = Traces(everywhere=False), ConnectionTraces()
    tracing = Tracing(traces.provider.get_tracer("test"), new_worker_id())
    return TracedClientRequests(tracing, connections), traces, connections


@pytest.mark.parametrize(
    ("does", "fails", "why"),
    [
        (raising(UnknownChannel("there is none")), False, "UnknownChannel"),
        (raising(RuntimeError()), False, "RuntimeError"),
        (answering_and_raising, False, None),
        (lambda answer: answer(EMPTY), True, "RuntimeError"),
        (lambda answer: answer(EMPTY), False, None),
    ],
    ids=["refused", "raises", "raises late", "answer fails", "answered"],
)
def test_a_command_ends_once_whatever_raises(
    monkeypatch: pytest.MonkeyPatch, does: Does, why: str | None, *, fails: bool
) -> None:
    requests, traces, connections = traced(monkeypatch, does)
    session = cast("CentrifugeSession", Session(fails=fails))
    with suppress(RuntimeError):
        requests.ask(session, Ask(1, Rpc("greet")))

    [span] = traces.named("rpc")
    assert (span.attributes or {}).get(ERROR) == why
    assert not connections._commands
    assert connections.command is None


@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("said", [EMPTY, INTERNAL])
def test_what_is_answered_behind_the_end_of_its_connection_was_abandoned(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    said: Answer,
    *,
    fails: bool,
) -> None:
    """Red when the span is ended twice: OpenTelemetry warns, once for each such command."""
    asked: list[Callable[[Answer], None]] = []
    requests, traces, connections = traced(monkeypatch, asked.append)
    session = Session(fails=fails)
    requests.ask(cast("CentrifugeSession", session), Ask(1, Rpc("greet")))
    connections.closed(session.id)
    with suppress(RuntimeError):
        asked[0](said)

    [span] = traces.named("rpc")
    assert (span.attributes or {}).get(ERROR) == "abandoned"
    assert [record.message for record in caplog.records] == []
