"""The claims of tokens: what is taken, what is refused, and until when it lasts."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TokenExpired, TokenForAnother, TokenInvalid
from gateway.protocol.token_claims import (
    ConnectionClaims,
    SubscriptionClaims,
    connection_claims,
    subscription_claims,
)
from gateway.protocol.token_validity import LATEST_UNIX_S, ClaimRules

NOW = 1_800_000_000.0
LEEWAY_S = 60.0
RULES = ClaimRules(leeway_s=LEEWAY_S)


def connection(rules: ClaimRules = RULES, **claims: Any) -> ConnectionClaims:
    return connection_claims(json.dumps(claims).encode(), rules, now=NOW)


def subscription(rules: ClaimRules = RULES, **claims: Any) -> SubscriptionClaims:
    given = {"sub": "ann", "channel": "room:1", **claims}
    return subscription_claims(
        json.dumps(given).encode(), rules, channel="room:1", user="ann", client="c1", now=NOW
    )


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# Of connections


def test_nothing_has_to_be_said() -> None:
    assert connection() == ConnectionClaims()


def test_everything_may_be_said() -> None:
    claims = connection(
        sub="ann",
        exp=NOW + 100,
        iat=NOW,
        nbf=NOW,
        jti="1",
        aud=["a"],
        iss="b",
        info={"name": "Ann"},
        channels=["news", "room:1"],
        subs={"room:2": {"info": {"a": 1}, "data": [1], "override": {"presence": True}}},
        meta={"secret": 1},
        somebody_elses={"claim": 1},
    )

    assert claims == ConnectionClaims(
        user="ann",
        expires_at=NOW + 100,
        ttl_s=100,
        info=b'{"name": "Ann"}',
        channels=("news", "room:1"),
        subs={
            "room:2": SubscriptionClaims(info=b'{"a": 1}', data=b"[1]", override={"presence": True})
        },
        meta=b'{"secret": 1}',
    )


def test_base64_goes_before_the_other_form() -> None:
    claims = connection(
        info={"a": 1},
        b64info=b64(b'{"b":2}'),
        subs={"news": {"b64info": b64(b"1"), "b64data": b64(b'"two"')}},
    )

    assert claims.info == b'{"b":2}'
    assert claims.subs["news"] == SubscriptionClaims(info=b"1", data=b'"two"')


def test_what_has_newlines_in_it_can_be_embedded() -> None:
    payload = b'{"info": {"a":\n 1}}'

    assert connection_claims(payload, RULES, now=NOW).info == b'{"a": 1}'


def test_another_claim_may_say_who_it_is() -> None:
    rules = ClaimRules(user_id_claim="user_id")

    assert connection(rules, sub="ann", user_id="bob").user == "bob"
    assert not connection(rules, sub="ann").user


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": 42},
        {"sub": None},
        {"sub": ["ann"]},
        {"sub": "x" * 257},
        {"sub": "é" * 129},
        {"exp": "soon"},
        {"exp": True},
        {"exp": -1},
        {"exp": 1e300},
        {"nbf": "now"},
        {"iat": {}},
        {"jti": 1},
        {"expire_at": "never"},
        {"channels": "news"},
        {"channels": [1]},
        {"channels": [""]},
        {"channels": ["x" * 256]},
        {"channels": ["ü"]},
        {"subs": ["news"]},
        {"subs": {"news": 1}},
        {"subs": {"": {}}},
        {"subs": {"news": {"override": {"presence": 1}}}},
        {"subs": {"news": {"b64data": b64(b"no json")}}},
        {"b64info": "%"},
        {"b64info": 1},
        {"b64info": b64(b"\xff")},
        {"meta": [1]},
        {"channel": "room:1"},
        {"channel": 1},
        {"nbf": NOW + LEEWAY_S + 1},
    ],
)
def test_a_wrong_claim_makes_a_token_invalid(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        connection(**claims)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"1",
        b"null",
        b"\xff",
        b'{"info":"\xff"}',
        b'{"sub":"\\ud800"}',
        b'{"info":"\\ud800\xff"}',
        b'{"info":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"info":' + b"[" * 129 + b"]" * 129 + b"}",
        b'{"unknown":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"exp":1e999}',
        b'{"exp":' + b"9" * 5_000 + b"}",
    ],
)
def test_what_is_no_json_of_claims_is_invalid_and_nothing_else(payload: bytes) -> None:
    with pytest.raises(TokenInvalid):
        connection_claims(payload, RULES, now=NOW)


def test_an_empty_channel_claim_is_none() -> None:
    assert connection(channel=None) == ConnectionClaims()


# Of subscriptions


def test_a_subscription_token_says_what_a_sub_says_and_until_when() -> None:
    claims = subscription(
        exp=NOW + 10,
        info={"a": 1},
        data=2,
        override={"force_recovery": {"value": True}, "join_leave": False, "presence": None},
    )

    assert claims == SubscriptionClaims(
        info=b'{"a": 1}',
        data=b"2",
        override={"force_recovery": True, "join_leave": False},
        expires_at=NOW + 10,
        ttl_s=10,
    )


@pytest.mark.parametrize(
    "claims", [{"channel": "room:2"}, {"sub": "bob"}, {"sub": ""}, {"client": "c2"}]
)
def test_a_token_of_somebody_else_is_told_apart_from_an_invalid_one(claims: Any) -> None:
    with pytest.raises(TokenForAnother):
        subscription(**claims)


def test_a_token_may_be_bound_to_a_client() -> None:
    assert subscription(client="c1")
    assert subscription(client="")


@pytest.mark.parametrize("claims", [{"channel": None}, {"channel": 1}, {"client": 1}, {"sub": 1}])
def test_a_wrong_claim_makes_a_subscription_token_invalid(claims: Any) -> None:
    with pytest.raises(TokenInvalid) as caught:
        subscription(**claims)
    assert not isinstance(caught.value, TokenForAnother)


def test_a_connection_token_subscribes_to_nothing() -> None:
    with pytest.raises(TokenInvalid):
        subscription_claims(
            b'{"sub":"ann"}', RULES, channel="room:1", user="ann", client="c1", now=NOW
        )


# Whatever comes

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
NAMES = [
    "sub", "exp", "nbf", "iat", "jti", "aud", "iss", "expire_at", "info", "b64info", "channels",
    "subs", "meta", "channel", "client", "data", "b64data", "override",
]  # fmt: skip
CLAIMS = st.dictionaries(st.sampled_from(NAMES), JSON | st.floats(0, LATEST_UNIX_S * 2))
PAYLOADS = st.binary() | CLAIMS.map(lambda claims: json.dumps(claims).encode())


@given(PAYLOADS)
def test_any_payload_is_claims_or_invalid_or_expired(payload: bytes) -> None:
    try:
        found = connection_claims(payload, RULES, now=NOW)
    except (TokenExpired, TokenInvalid):
        return
    assert (found.ttl_s > 0) == (found.expires_at is not None)
    found.user.encode()
    assert not found.info or json.loads(found.info) is not None


@given(PAYLOADS)
def test_any_payload_is_a_subscription_or_invalid_or_expired(payload: bytes) -> None:
    try:
        found = subscription_claims(payload, RULES, channel="a", user="", client="c", now=NOW)
    except (TokenExpired, TokenInvalid):
        return
    assert (found.ttl_s > 0) == (found.expires_at is not None)
