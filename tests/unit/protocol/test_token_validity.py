"""When a token is good: for whom, by whom, and until when."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import TokenExpired, TokenInvalid
from gateway.protocol.token_validity import ClaimRules
from tests.unit.protocol.test_token_claims import LEEWAY_S, NOW, connection, subscription

# For whom, and by whom


@pytest.mark.parametrize("aud", ["us", ["us"], ["them", "us"]])
def test_the_audience_is_one_of_those_named(aud: Any) -> None:
    assert connection(ClaimRules(audience="us"), aud=aud)


@pytest.mark.parametrize("aud", [None, "", "them", "usual", [], ["them"]])
def test_another_audience_is_refused(aud: Any) -> None:
    with pytest.raises(TokenInvalid):
        connection(ClaimRules(audience="us"), aud=aud)


def test_another_issuer_is_refused() -> None:
    rules = ClaimRules(issuer="login")

    assert connection(rules, iss="login")
    with pytest.raises(TokenInvalid):
        connection(rules, iss="logins")
    with pytest.raises(TokenInvalid):
        connection(rules)


# Until when


@pytest.mark.parametrize("late_s", [0, 1, 59, 59.9])
def test_a_token_that_is_over_by_less_than_the_leeway_opens_for_the_rest_of_it(
    late_s: float,
) -> None:
    claims = connection(exp=NOW - late_s)

    assert claims.expires_at == NOW - late_s + LEEWAY_S
    assert claims.ttl_s >= 1


@pytest.mark.parametrize("late_s", [60, 61, 1e6])
def test_a_token_that_is_over_by_the_leeway_has_expired(late_s: float) -> None:
    with pytest.raises(TokenExpired):
        connection(exp=NOW - late_s)
    with pytest.raises(TokenExpired):
        subscription(exp=NOW - late_s)


def test_a_token_of_a_clock_that_is_ahead_is_valid_already() -> None:
    assert connection(nbf=NOW + LEEWAY_S, iat=NOW + LEEWAY_S)


def test_part_of_a_second_counts_as_one() -> None:
    assert connection(exp=NOW + 0.1).ttl_s == 1
    assert connection(exp=NOW + 1.1).ttl_s == 2


def test_a_connection_may_outlive_its_token() -> None:
    assert connection(exp=NOW + 5, expire_at=NOW + 500).ttl_s == 500
    forever = connection(exp=NOW + 5, expire_at=0)
    assert (forever.expires_at, forever.ttl_s) == (None, 0)


def test_a_connection_does_not_outlive_what_expire_at_says() -> None:
    assert connection(exp=NOW + 500, expire_at=NOW + 5).ttl_s == 5
    with pytest.raises(TokenExpired):
        connection(exp=NOW + 500, expire_at=NOW - LEEWAY_S)


def test_whatever_expire_at_says_a_token_that_is_over_opens_nothing() -> None:
    with pytest.raises(TokenExpired):
        connection(exp=NOW - LEEWAY_S, expire_at=0)
