"""Tokens with shared secrets: whose are believed, and what is none."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import TokenExpired, TokenForAnother, TokenInvalid
from gateway.settings.tokens import TokenOptions
from gateway.settings.values import Secret
from gateway.tokens.signature import MAX_TOKEN_BYTES
from gateway.tokens.verifier import TokenVerifier, token_verifier
from tests.support.tokens import OTHER_SECRET, SECRET, b64, signed, token

OPTIONS = TokenOptions(place="client.token", hmac_secret_key=Secret(SECRET))
VERIFIER = token_verifier(OPTIONS, OPTIONS)


async def subscribe(verifier: TokenVerifier, given: str) -> object:
    return await verifier.verify_subscription(given, channel="room:1", user="ann", client="c")


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_token_with_the_secret_is_believed(algorithm: str) -> None:
    claims = await VERIFIER.verify_connection(token({"sub": "ann"}, algorithm=algorithm))

    assert claims.user == "ann"


async def test_a_subscription_token_with_the_secret_is_believed() -> None:
    assert await subscribe(VERIFIER, token({"sub": "ann", "channel": "room:1"}))
    with pytest.raises(TokenForAnother):
        await subscribe(VERIFIER, token({"sub": "bob", "channel": "room:1"}))


async def test_time_is_that_of_the_host() -> None:
    with pytest.raises(TokenExpired):
        await VERIFIER.verify_connection(token({"exp": time.time() - 61}))
    assert await VERIFIER.verify_connection(token({"exp": time.time() - 50}))


async def test_another_secret_is_not_believed() -> None:
    with pytest.raises(TokenInvalid):
        await VERIFIER.verify_connection(token({"sub": "ann"}, OTHER_SECRET))


async def test_without_keys_nothing_is_believed() -> None:
    nothing = TokenOptions(place="client.token")

    with pytest.raises(TokenInvalid):
        await token_verifier(nothing, nothing).verify_connection(token({"sub": "ann"}))
    assert not nothing.has_keys


async def test_the_previous_secret_is_believed_beside_the_new_one() -> None:
    options = TokenOptions(
        place="client.token",
        hmac_secret_key=Secret(OTHER_SECRET),
        hmac_previous_secret_key=Secret(SECRET),
    )
    verifier = token_verifier(options, options)

    assert await verifier.verify_connection(token({"sub": "ann"}, SECRET))
    assert await verifier.verify_connection(token({"sub": "ann"}, OTHER_SECRET))


async def test_subscription_tokens_may_have_a_secret_of_their_own() -> None:
    verifier = token_verifier(
        OPTIONS,
        TokenOptions(place="client.subscription_token", hmac_secret_key=Secret(OTHER_SECRET)),
    )
    claims = {"sub": "ann", "channel": "room:1"}

    assert await subscribe(verifier, token(claims, OTHER_SECRET))
    with pytest.raises(TokenInvalid):
        await subscribe(verifier, token(claims, SECRET))
    with pytest.raises(TokenInvalid):
        await verifier.verify_connection(token({"sub": "ann"}, OTHER_SECRET))


def headed(header: bytes) -> str:
    return f"{b64(header)}.{b64(b'{}')}."


def with_header(header: Any) -> str:
    """A token whose header is replaced, and whose signature is not."""
    _, payload, signature = token({"sub": "ann"}).split(".")
    return f"{b64(json.dumps(header).encode())}.{payload}.{signature}"


HEADERS: list[Any] = [
    {"alg": "none"},
    {"alg": "None"},
    {"alg": "HS1"},
    {"alg": "PS256"},
    {"alg": ""},
    {"alg": None},
    {"alg": 1},
    {"alg": ["HS256"]},
    {},
    [],
    "HS256",
    {"alg": "HS384"},
    {"alg": "RS256"},
    {"alg": "ES256"},
    {"alg": "EdDSA"},
]


@pytest.mark.parametrize("header", HEADERS)
async def test_another_algorithm_than_it_was_signed_with_is_refused(header: Any) -> None:
    with pytest.raises(TokenInvalid):
        await VERIFIER.verify_connection(with_header(header))


@pytest.mark.parametrize("claims", [{"sub": "ann"}, {}])
async def test_a_token_without_a_signature_is_refused(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenInvalid):
        await VERIFIER.verify_connection(token(claims, None, "none"))
    head, payload, _ = token(claims).split(".")
    with pytest.raises(TokenInvalid):
        await VERIFIER.verify_connection(f"{head}.{payload}.")


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"b64": True, "crit": ["b64"]}])
async def test_a_header_that_must_be_understood_and_is_not_is_refused(
    header: dict[str, Any],
) -> None:
    head = b64(json.dumps({"alg": "HS256", **header}).encode())
    payload = b64(b'{"sub":"ann"}')
    mac = hmac.digest(SECRET.encode(), f"{head}.{payload}".encode(), hashlib.sha256)
    with pytest.raises(TokenInvalid):
        await VERIFIER.verify_connection(f"{head}.{payload}.{b64(mac)}")


@pytest.mark.parametrize(
    "given",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "x",
        "\x00",
        "ü.ü.ü",
        "\ud800.\ud800.\ud800",
        token({"sub": "ann"}) + ".",
        token({"sub": "ann"}) + "=",
        token({"sub": "ann"}) + "\n",
        " " + token({"sub": "ann"}),
        headed(b"[" * 9_000),
        headed(b'{"alg":"HS256","x":' + b"[" * 9_000),
        headed(b"\xff"),
        headed(b'{"alg":"HS256","kid":"\xff"}'),
    ],
)
async def test_what_is_no_token_is_invalid_and_nothing_else(given: str) -> None:
    with pytest.raises(TokenInvalid):
        await VERIFIER.verify_connection(given)


async def test_a_token_has_a_greatest_length() -> None:
    one = token({"sub": "ann"})
    pad = (MAX_TOKEN_BYTES - len(one)) * 3 // 4
    longest = next(
        made
        for size in range(pad - 40, pad + 5)
        if len(made := token({"sub": "ann", "x": "y" * size}))
        in (MAX_TOKEN_BYTES, MAX_TOKEN_BYTES - 1)
    )

    assert (await VERIFIER.verify_connection(longest)).user == "ann"
    with pytest.raises(TokenInvalid, match="over 32768 bytes"):
        await VERIFIER.verify_connection(longest + "yyy")


async def test_a_changed_token_is_refused() -> None:
    head, payload, signature = token({"sub": "ann"}).split(".")
    forged = b64(b'{"sub":"bob"}')

    for changed in (f"{head}.{forged}.{signature}", f"{head}.{payload}.{signature[:-2]}"):
        with pytest.raises(TokenInvalid):
            await VERIFIER.verify_connection(changed)


async def test_what_is_invalid_says_nothing_of_what_is_in_it() -> None:
    for made in (signed(b'{"sub":"hush", "exp":"hush"}'), token({"aud": "hush"}, OTHER_SECRET)):
        with pytest.raises(TokenInvalid) as caught:
            await VERIFIER.verify_connection(made)
        assert "hush" not in str(caught.value)


@given(
    st.text()
    | st.lists(st.binary(max_size=30), min_size=3, max_size=3).map(lambda p: ".".join(map(b64, p)))
)
async def test_any_text_is_invalid(given: str) -> None:
    with pytest.raises(TokenInvalid):
        await VERIFIER.verify_connection(given)


@given(st.binary(max_size=80))
async def test_any_signed_payload_is_claims_or_invalid(payload: bytes) -> None:
    with contextlib.suppress(TokenInvalid, TokenExpired):
        await VERIFIER.verify_connection(signed(payload))
