"""What is refused for what it is."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest

from gateway.close_codes import BAD_REQUEST, Close
from gateway.close_codes import NOT_AVAILABLE as NOBODY_LISTENS
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import (
    Connect,
    History,
    OnChannel,
    Presence,
    PresenceStats,
    Publish,
    Refresh,
    Request,
    Rpc,
    Send,
    StreamPosition,
    SubRefresh,
    Subscribe,
    Unknown,
    Unsubscribe,
)
from gateway.protocol.centrifuge.refusals import Limits, connect_refusal, refusal

EVERYTHING: frozenset[type[Request]] = frozenset(get_args(Request))
NOTHING: frozenset[type[Request]] = frozenset()
DATA = msgspec.Raw(b'"hello"')


def refused(request: Request, available: frozenset[type[Request]] = EVERYTHING) -> object:
    return refusal(request, available=available, limits=Limits())


@pytest.mark.parametrize(
    "request_",
    [
        Subscribe("a"),
        Publish("a", DATA),
        Presence("a"),
        PresenceStats("a"),
        History("a"),
        SubRefresh("a", "t"),
        Refresh("t"),
        Rpc("m"),
    ],
)
def test_what_is_not_there_is_not_available(request_: Request) -> None:
    assert refused(request_, NOTHING) == codes.NOT_AVAILABLE
    assert refused(request_) is None


def test_unsubscribing_is_always_there() -> None:
    assert refused(Unsubscribe("a"), NOTHING) is None


def test_a_message_that_nobody_takes_closes() -> None:
    assert refused(Send(DATA), NOTHING) == NOBODY_LISTENS
    assert refused(Send(DATA)) is None


@pytest.mark.parametrize("kind", get_args(OnChannel))
@pytest.mark.parametrize("available", [EVERYTHING, NOTHING])
def test_a_channel_must_be_named(
    kind: type[OnChannel], available: frozenset[type[Request]]
) -> None:
    assert refused(kind(), available) == BAD_REQUEST


@pytest.mark.parametrize(
    ("channel", "answer"),
    [
        ("a" * 255, None),
        ("a" * 256, codes.BAD_REQUEST),
        (" !~", None),
        ("a\x1f", codes.BAD_REQUEST),
        ("a\x7f", codes.BAD_REQUEST),
        ("é", codes.BAD_REQUEST),
    ],
)
def test_channels_have_255_printable_ascii_characters(channel: str, answer: Error | None) -> None:
    assert refused(Subscribe(channel)) == answer


def test_a_publication_has_64_kib() -> None:
    assert refused(Publish("a", msgspec.Raw(b'"%b"' % (b"a" * 65_534)))) is None
    assert refused(Publish("a", msgspec.Raw(b'"%b"' % (b"a" * 65_535)))) == codes.LIMIT_EXCEEDED


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (Unknown(), codes.METHOD_NOT_FOUND),
        (Publish("a"), codes.BAD_REQUEST),
        (Publish("a", DATA, type=1), codes.NOT_AVAILABLE),
        (Publish("a", DATA, key="k"), codes.NOT_AVAILABLE),
        (Publish("a", DATA, removed=True), codes.NOT_AVAILABLE),
        (Subscribe("a", type=1), codes.NOT_AVAILABLE),
        (Subscribe("a", phase=2), codes.NOT_AVAILABLE),
        (Subscribe("a", tf=msgspec.Raw(b"{}")), codes.BAD_REQUEST),
        (Subscribe("a", tf=msgspec.Raw(b"null")), None),
        (Subscribe("a", delta="fossil"), None),
        (History("a", reverse=True), None),
        (History("a", since=StreamPosition(0)), None),
        (History("a", since=StreamPosition(1), reverse=True), None),
        (History("a", since=StreamPosition(0), reverse=True), codes.BAD_REQUEST),
        (Refresh(), BAD_REQUEST),
        (SubRefresh("a"), BAD_REQUEST),
        (SubRefresh("a", "t", type=1), codes.NOT_AVAILABLE),
    ],
)
def test_what_cannot_be_meant(request_: Request, answer: Close | Error | None) -> None:
    assert refused(request_) == answer


@pytest.mark.parametrize(
    ("connect", "answer"),
    [
        (Connect(name="n" * 16, version="v" * 64), None),
        (Connect(name="n" * 17), codes.BAD_REQUEST),
        (Connect(version="v" * 65), codes.BAD_REQUEST),
    ],
)
def test_a_client_calls_itself_by_16_and_64_characters(
    connect: Connect, answer: Error | None
) -> None:
    assert connect_refusal(connect) == answer
