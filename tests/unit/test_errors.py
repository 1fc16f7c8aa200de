"""Errors: their codes are stable, and what a client is told is within what a close frame takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from gateway import errors
from gateway.errors import (
    BadChannel,
    BinaryMessage,
    BrokerRefused,
    BrokerUnavailable,
    ChannelLimit,
    ConfigError,
    ConnectionEnding,
    Denied,
    EnvelopeTooLarge,
    GatewayError,
    HandlerFailed,
    NotAvailable,
    NotRunning,
    PresenceLimit,
    PublicationTooLarge,
    RateExceeded,
    Refused,
    RegistryBusy,
    SlowConsumer,
    TokenExpired,
    TokenForAnother,
    TokenInvalid,
    TokenKeysUnavailable,
    UnknownChannel,
    UnrecoverablePosition,
    WorkerChannelLimit,
)


def below(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    """Its subclasses in this module: applications and tests may add their own."""
    for sub in kind.__subclasses__():
        if sub.__module__ == errors.__name__:
            yield sub
            yield from below(sub)


EVERY = list(below(GatewayError))


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__ or "")

    assert sorted(drawn) == sorted(kind.__name__ for kind in EVERY)


@pytest.mark.parametrize(
    ("kind", "code", "close_code", "retryable"),
    [
        (GatewayError, "internal", 1011, True),
        (ConfigError, "config", 1011, False),
        (NotRunning, "not_running", 1011, True),
        (BrokerUnavailable, "broker_unavailable", 1011, True),
        (BrokerRefused, "broker_refused", 1011, True),
        (RegistryBusy, "registry_busy", 1011, True),
        (EnvelopeTooLarge, "too_large", 1011, False),
        (BadChannel, "bad_channel", 1011, False),
        (UnknownChannel, "unknown_channel", 1011, False),
        (ChannelLimit, "channel_limit", 1011, False),
        (WorkerChannelLimit, "worker_channel_limit", 1011, True),
        (NotAvailable, "not_available", 1011, False),
        (PresenceLimit, "presence_limit", 1011, False),
        (PublicationTooLarge, "publication_too_large", 1011, False),
        (UnrecoverablePosition, "unrecoverable_position", 1011, False),
        (TokenInvalid, "token_invalid", 3500, False),
        (TokenForAnother, "token_for_another", 3500, False),
        (TokenExpired, "token_expired", 3005, True),
        (TokenKeysUnavailable, "token_keys_unavailable", 1011, True),
        (Refused, "refused", 1011, True),
        (Denied, "denied", 1011, False),
        (SlowConsumer, "slow_consumer", 3008, True),
        (RateExceeded, "rate_exceeded", 3013, True),
        (BinaryMessage, "binary_message", 1003, False),
        (HandlerFailed, "handler_failed", 1011, True),
    ],
)
def test_codes_are_stable(
    kind: type[GatewayError], code: str, close_code: int, *, retryable: bool
) -> None:
    assert (kind.code, kind.close_code, kind.retryable) == (code, close_code, retryable)


def test_no_two_errors_share_a_code() -> None:
    codes = [kind.code for kind in EVERY if kind is not ConnectionEnding]

    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", list(below(ConnectionEnding)))
def test_a_client_is_told_why_in_what_a_close_frame_takes(kind: type[ConnectionEnding]) -> None:
    assert 1 <= len(kind.reason.encode()) <= 123


@pytest.mark.parametrize("kind", list(below(ConnectionEnding)))
def test_a_close_code_that_lets_clients_reconnect_is_of_an_error_worth_it(
    kind: type[ConnectionEnding],
) -> None:
    if 3000 <= kind.close_code <= 4999:
        assert kind.retryable == (kind.close_code % 1000 < 500)


def test_an_envelope_that_is_too_large_is_told_with_the_numbers() -> None:
    error = EnvelopeTooLarge(size_bytes=3, limit_bytes=2)

    assert str(error) == "an envelope of 3 B is over the limit of 2 B"


def test_a_gateway_that_does_not_run_names_both_ways_to_run_it() -> None:
    assert "gateway serve" in str(NotRunning())
    assert "lifespan" in str(NotRunning())


# Refused


@pytest.mark.parametrize("code", [1000, 3000, 3499, 4000, 4403, 4999])
def test_an_application_may_refuse_with_a_code_of_its_own(code: int) -> None:
    refused = Refused(code, "not today")

    assert (refused.close_code, refused.reason) == (code, "not today")
    assert str(refused) == f"{code} not today"


@pytest.mark.parametrize("code", [0, 999, 1001, 1005, 1006, 1011, 2999, 5000])
def test_an_application_may_not_refuse_with_a_code_of_the_protocol(code: int) -> None:
    with pytest.raises(ValueError, match=f"close code {code} is not 1000"):
        Refused(code, "not today")


@pytest.mark.parametrize("reason", ["x", "x" * 123, "ä" * 61])
def test_a_reason_is_one_to_123_bytes(reason: str) -> None:
    assert Refused(4000, reason).reason == reason


@pytest.mark.parametrize("reason", ["", "x" * 124, "ä" * 62])
def test_a_reason_that_no_close_frame_takes_is_refused_where_it_is_made(reason: str) -> None:
    with pytest.raises(ValueError, match="is not 1 to 123 UTF-8 bytes long"):
        Refused(4000, reason)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Refused, (4400.0, "bad token")),
        (Refused, (4400, b"bad token")),
        (Denied, (403.0, "no")),
        (Denied, (403, None)),
    ],
)
def test_what_could_not_be_told_of_a_refusal_is_an_error_where_it_is_made(
    kind: Any, said: tuple[Any, ...]
) -> None:
    """Red when it is taken: nobody reads it, and who was refused waits for ever."""
    with pytest.raises(TypeError, match=r"is float, not int|is (bytes|NoneType), not str"):
        kind(*said)


def test_texts_and_numbers_of_classes_of_their_own_are_told_as_such() -> None:
    class Text(str):
        __slots__ = ()

    class Number(int):
        pass

    refused, denied = Refused(Number(4400), Text("no")), Denied(Number(403), Text("no"))

    told = [refused.close_code, refused.reason, denied.error_code, denied.message]
    assert told == [4400, "no", 403, "no"]
    assert [type(one) for one in told] == [int, str, int, str]
