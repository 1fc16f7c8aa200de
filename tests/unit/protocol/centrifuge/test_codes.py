"""The codes are those that SDKs know."""

from __future__ import annotations

import pytest

from gateway import close_codes
from gateway.protocol.centrifuge import codes


def test_errors_have_the_protocols_codes_and_words() -> None:
    assert [(row.code, row.message) for row in codes.EVERY_ERROR] == [
        (100, "internal server error"),
        (101, "unauthorized"),
        (102, "unknown channel"),
        (103, "permission denied"),
        (104, "method not found"),
        (105, "already subscribed"),
        (106, "limit exceeded"),
        (107, "bad request"),
        (108, "not available"),
        (109, "token expired"),
        (110, "expired"),
        (111, "too many requests"),
        (112, "unrecoverable position"),
        (113, "concurrent pagination"),
    ]


def test_clients_try_again_after_three_of_them() -> None:
    assert [row.code for row in codes.EVERY_ERROR if row.temporary] == [100, 111, 113]


def test_subscriptions_end_with_the_protocols_codes() -> None:
    assert codes.EVERY_UNSUBSCRIBED == (
        (2000, "server unsubscribe"),
        (2500, "insufficient state"),
        (2501, "subscription expired"),
        (2502, "state invalidated"),
    )


@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        (close_codes.EXPIRED, 3005, "connection expired"),
        (close_codes.SUBSCRIPTION_EXPIRED, 3006, "subscription expired"),
        (close_codes.SLOW, 3008, "slow"),
        (close_codes.INSUFFICIENT_STATE, 3010, "insufficient state"),
        (close_codes.NO_PONG, 3012, "no pong"),
        (close_codes.INVALID_TOKEN, 3500, "invalid token"),
        (close_codes.BAD_REQUEST, 3501, "bad request"),
        (close_codes.STALE, 3502, "stale"),
        (close_codes.CHANNEL_LIMIT, 3505, "channel limit"),
        (close_codes.INAPPROPRIATE_PROTOCOL, 3506, "inappropriate protocol"),
        (close_codes.NOT_AVAILABLE, 3508, "not available"),
    ],
)
def test_connections_end_with_the_protocols_codes(
    close: close_codes.Close, code: int, reason: str
) -> None:
    assert close == (code, reason)
