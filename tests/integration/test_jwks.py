"""Keys of a JWKS, from a real HTTP server that rotates them, dies, comes back and lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import prometheus_client
import pytest

from gateway.errors import TokenInvalid, TokenKeysUnavailable
from gateway.settings.tokens import TokenOptions
from gateway.settings.values import Secret
from gateway.tokens.fetch import MAX_ANSWER_BYTES, FetchFailed, fetch
from gateway.tokens.keys import Keys, OperatorsKeys
from gateway.tokens.signature import parts_of
from gateway.tokens.verifier import TokenVerifier, token_verifier
from tests.support.jwks_server import JwksServer
from tests.support.logs import capture_logs
from tests.support.tokens import SECRET, token
from tests.support.waiting import eventually

pytest.importorskip("cryptography", reason="comes with pyjwt[crypto]")

from gateway.protocol.token_validity import ClaimRules
from gateway.tokens.key_set import FRESH_S, MAX_KEYS, UNKNOWN_EACH_S, KeySet
from tests.support.key_pairs import PAIRS, rsa_pair

EC, RSA, ED = PAIRS["P-256"], PAIRS["RSA"], PAIRS["Ed25519"]
LATER = rsa_pair()


class World:
    """A verifier with a key set, and the time that it reads."""

    def __init__(self, server: JwksServer) -> None:
        self.server = server
        self.now = 1000.0
        self.key_set = KeySet(server.url, place="client.token", now=lambda: self.now)
        keys: Keys = OperatorsKeys([], self.key_set)
        self.verifier = TokenVerifier((keys, ClaimRules()), (keys, ClaimRules()))

    async def user(self, pair: Any, algorithm: str, kid: str | None) -> str:
        made = token({"sub": "ann"}, pair.private, algorithm, kid=kid)
        return (await self.verifier.verify_connection(made)).user

    async def refused(self, pair: Any, algorithm: str, kid: str | None) -> bool:
        try:
            await self.user(pair, algorithm, kid)
        except TokenInvalid:
            return True
        return False


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with JwksServer() as server:
        server.publish(EC.jwk(kid="ec"), RSA.jwk(kid="rsa", alg="RS256"), ED.jwk(kid="ed"))
        yield World(server)


async def test_tokens_of_published_keys_are_believed_after_one_fetch(world: World) -> None:
    assert world.server.asked == 0

    assert await world.user(EC, "ES256", "ec") == "ann"
    assert await world.user(RSA, "RS256", "rsa") == "ann"
    assert await world.user(ED, "EdDSA", "ed") == "ann"

    assert world.server.asked == 1
    assert world.server.requests[0].startswith(b"GET /keys.json?a=b HTTP/1.1\r\nHost: 127.0.0.1:")


async def test_a_key_is_for_its_own_id_kind_and_algorithm(world: World) -> None:
    assert await world.refused(EC, "ES256", "rsa")
    assert await world.refused(RSA, "RS512", "rsa")
    assert await world.refused(LATER, "RS256", "rsa")


async def test_a_token_without_an_id_is_taken_where_only_one_key_fits(world: World) -> None:
    assert await world.user(EC, "ES256", None) == "ann"

    world.now += UNKNOWN_EACH_S
    world.server.publish(EC.jwk(kid="a"), PAIRS["P-256"].jwk(kid="b"))
    await world.refused(RSA, "RS256", "fetch again")
    assert await world.refused(EC, "ES256", None)


async def test_a_new_key_is_fetched_when_a_token_names_it(world: World) -> None:
    await world.user(EC, "ES256", "ec")
    world.server.publish(LATER.jwk(kid="later"))
    world.now += UNKNOWN_EACH_S

    assert await world.user(LATER, "RS256", "later") == "ann"
    assert await world.refused(EC, "ES256", "ec")  # it has gone from the set


async def test_made_up_ids_fetch_at_a_bounded_rate(world: World) -> None:
    await world.user(EC, "ES256", "ec")

    for number in range(50):
        assert await world.refused(EC, "ES256", f"made up {number}")
    assert world.server.asked == 1

    world.now += UNKNOWN_EACH_S
    for number in range(50):
        assert await world.refused(EC, "ES256", f"made up {number}")
    assert world.server.asked == 2


async def test_many_that_wait_wait_for_one_fetch_and_giving_up_disturbs_nobody(
    world: World,
) -> None:
    world.server.gate.clear()
    waiting = [asyncio.create_task(world.user(EC, "ES256", "ec")) for _ in range(50)]
    await eventually(lambda: world.server.asked == 1, "a fetch")
    waiting.pop(0).cancel()
    world.server.gate.set()

    assert await asyncio.gather(*waiting) == ["ann"] * 49
    assert world.server.asked == 1


async def test_an_old_set_is_fetched_again_beside_the_work(world: World) -> None:
    await world.user(EC, "ES256", "ec")
    world.server.gate.clear()
    world.server.publish(LATER.jwk(kid="later"))
    world.now += FRESH_S

    assert await world.user(EC, "ES256", "ec") == "ann"  # it does not wait
    world.server.gate.set()
    await eventually(lambda: world.key_set._fetching is None, "the fetch")

    assert world.server.asked == 2
    assert await world.refused(EC, "ES256", "ec")


async def test_a_set_outlives_its_server_which_may_come_back(world: World) -> None:
    await world.user(EC, "ES256", "ec")
    await world.server.stop()
    for _ in range(5):
        world.now += FRESH_S
        assert await world.user(EC, "ES256", "ec") == "ann"
        await eventually(lambda: world.key_set._fetching is None, "a fetch that fails")
    assert await world.refused(LATER, "RS256", "later")

    world.server.publish(LATER.jwk(kid="later"))
    await world.server.start()
    world.now += UNKNOWN_EACH_S

    assert await world.user(LATER, "RS256", "later") == "ann"


async def test_before_there_is_a_set_nobody_can_know(world: World) -> None:
    await world.server.stop()
    with pytest.raises(TokenKeysUnavailable):
        await world.user(EC, "ES256", "ec")
    with pytest.raises(TokenKeysUnavailable):  # and the server is not asked each time
        await world.user(EC, "ES256", "ec")

    await world.server.start()
    world.now += 1
    assert await world.user(EC, "ES256", "ec") == "ann"


async def test_fetches_are_counted_by_how_they_end(world: World) -> None:
    before = fetches("fetched"), fetches("failed")
    await world.user(EC, "ES256", "ec")
    await world.server.stop()
    world.now += UNKNOWN_EACH_S
    with capture_logs() as logs:
        await world.refused(LATER, "RS256", "later")

    assert [line["key_set"] for line in logs] == ["client.token"]
    assert (fetches("fetched"), fetches("failed")) == (before[0] + 1, before[1] + 1)


def fetches(outcome: str) -> float:
    labels = {"key_set": "client.token", "outcome": outcome}
    return (
        prometheus_client.REGISTRY.get_sample_value("gateway_key_set_fetches_total", labels) or 0.0
    )


async def test_a_lying_server_takes_no_key_away(world: World) -> None:
    await world.user(EC, "ES256", "ec")
    for body in (
        b"",
        b"[]",
        b'{"keys": []}',
        b'{"keys": 1}',
        b"\xff",
        b"[" * 90_000,
        b'{"keys":[1,{}]}',
    ):
        world.server.body(body)
        world.now += UNKNOWN_EACH_S
        assert await world.refused(LATER, "RS256", "later")
        assert await world.user(EC, "ES256", "ec") == "ann"


async def test_garbage_among_keys_is_passed_over(world: World) -> None:
    world.server.publish(
        {"kty": "oct", "k": SECRET, "kid": "shared"},
        {"kty": "RSA", "kid": "half"},
        {"kid": 1},
        RSA.jwk(kid="enc", use="enc"),
        rsa_pair(1024).jwk(kid="short"),
        EC.jwk(kid="ec", use="sig"),
    )

    assert await world.user(EC, "ES256", "ec") == "ann"
    assert await world.refused(RSA, "RS256", "enc")


async def test_a_set_has_a_greatest_size(world: World) -> None:
    world.server.publish(
        *(ED.jwk(kid=str(number)) for number in range(MAX_KEYS)), EC.jwk(kid="one too many")
    )

    assert await world.user(ED, "EdDSA", str(MAX_KEYS - 1)) == "ann"
    assert await world.refused(EC, "ES256", "one too many")


async def test_a_published_secret_signs_nothing(world: World) -> None:
    world.server.publish({"kty": "oct", "k": SECRET, "kid": "shared"}, EC.jwk(kid="ec"))

    with pytest.raises(TokenInvalid):
        await world.verifier.verify_connection(token({"sub": "ann"}, kid="shared"))
    assert world.server.asked == 0


async def test_a_secret_in_the_settings_counts_beside_a_set(world: World) -> None:
    options = TokenOptions(
        place="client.token",
        hmac_secret_key=Secret(SECRET),
        jwks_public_endpoint=world.server.url,
    )
    verifier = token_verifier(options, options)

    assert (await verifier.verify_connection(token({"sub": "ann"}))).user == "ann"
    made = token({"sub": "bob"}, EC.private, "ES256", kid="ec")
    assert (await verifier.verify_connection(made)).user == "bob"
    assert parts_of(made).header.kid == "ec"


# Fetching


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\n\r\n", "status 302"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "status 404"),
        (b"HTTP/1.1 500 Oops\r\n\r\n{}", "status 500"),
        (b"SSH-2.0-OpenSSH\r\n", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", "half an answer"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", "half an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "half an answer"),
        (b"", "half an answer"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * MAX_ANSWER_BYTES, "over 262144 bytes"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 300_000, "over|no HTTP"),
    ],
)
async def test_what_is_no_whole_answer_with_200_is_none(answer: bytes, why: str) -> None:
    async with JwksServer() as server:
        server.answer = answer
        with pytest.raises(FetchFailed, match=why):
            await fetch(server.url)
        assert server.asked == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
    ],
)
async def test_a_whole_answer_is_had(answer: bytes) -> None:
    async with JwksServer() as server:
        server.answer = answer
        assert await fetch(server.url) == b"{}"


async def test_an_answer_that_trickles_is_given_up() -> None:
    async with JwksServer() as server:
        server.body(b" " * 1000)
        server.trickle_s = 0.05
        with pytest.raises(FetchFailed, match="no answer within"):
            await fetch(server.url, within_s=0.3)


async def test_nobody_there_and_a_wrong_protocol_are_failures() -> None:
    async with JwksServer() as server:
        with pytest.raises(FetchFailed, match=r"TLS|no connection|no answer"):
            await fetch(server.url.replace("http:", "https:"), within_s=0.5)
        await server.stop()
        with pytest.raises(FetchFailed, match="no connection"):
            await fetch(server.url)
    with pytest.raises(FetchFailed):
        await fetch("http://no-such-host.invalid/", within_s=2)
