"""Who may open a socket: every limit at exactly its bound, and what browsers and others send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from gateway.edge import admission, hosts
from gateway.edge.addresses import UNIX
from gateway.edge.admission import (
    TOO_FAST,
    TOO_MANY,
    TOO_MANY_FROM_ADDRESS,
    TOO_MANY_SUBPROTOCOLS,
    WRONG_ORIGIN,
    Admission,
    Limits,
)
from gateway.edge.hosts import NOT_ONE_HOST, WRONG_HOST
from gateway.edge.refusal import Refusal
from gateway.edge.sockets.upgrade import MAX_SUBPROTOCOLS

ADA = "192.0.2.1"
BOB = "192.0.2.2"
SAME_HOST = Headers({"host": "example.com"})


class Clock:
    """A clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def admit(
    *,
    max_connections: int = 10,
    max_connections_per_address: int | None = None,
    handshakes_per_second: int | None = None,
    allowed_origins: tuple[str, ...] = (),
    allowed_hosts: tuple[str, ...] = (),
    clock: Clock | None = None,
) -> Admission:
    limits = Limits(
        max_connections=max_connections,
        max_connections_per_address=max_connections_per_address,
        handshakes_per_second=handshakes_per_second,
        allowed_origins=allowed_origins,
        allowed_hosts=allowed_hosts,
    )
    return Admission(limits, now=clock or Clock())


def from_page(origin: str, host: str = "example.com") -> Headers:
    return Headers({"host": host, "origin": origin})


# Numbers


def test_the_last_connection_that_fits_is_admitted_and_the_next_is_not() -> None:
    it = admit(max_connections=2)
    it.enter(ADA)
    assert it.check(SAME_HOST, ADA) is None

    it.enter(ADA)

    assert it.check(SAME_HOST, ADA) is TOO_MANY


def test_a_connection_that_ends_makes_room() -> None:
    it = admit(max_connections=1)
    it.enter(ADA)

    it.leave(ADA)

    assert it.check(SAME_HOST, ADA) is None
    assert it.connections == 0


def test_the_last_connection_of_an_address_that_fits_is_admitted_and_the_next_is_not() -> None:
    it = admit(max_connections_per_address=2)
    it.enter(ADA)
    assert it.check(SAME_HOST, ADA) is None

    it.enter(ADA)

    assert it.check(SAME_HOST, ADA) is TOO_MANY_FROM_ADDRESS
    assert it.check(SAME_HOST, BOB) is None


def test_a_connection_that_ends_makes_room_for_its_address() -> None:
    it = admit(max_connections_per_address=1)
    it.enter(ADA)
    it.leave(ADA)

    assert it.check(SAME_HOST, ADA) is None


def test_a_connection_that_ends_makes_room_for_one_only() -> None:
    it = admit(max_connections_per_address=2)
    it.enter(ADA)
    it.enter(ADA)
    it.leave(ADA)
    it.enter(ADA)

    assert it.check(SAME_HOST, ADA) is TOO_MANY_FROM_ADDRESS


def test_addresses_without_connections_are_forgotten() -> None:
    it = admit(max_connections_per_address=2)
    for last in range(100):
        address = f"192.0.2.{last}"
        it.check(SAME_HOST, address)
        it.enter(address)
        it.enter(address)
        it.leave(address)
        it.leave(address)

    assert not it._addresses


def test_without_a_bound_an_address_may_have_as_many_as_fit() -> None:
    it = admit(max_connections=10)
    for _ in range(9):
        it.enter(ADA)

    assert it.check(SAME_HOST, ADA) is None
    assert not it._addresses


def test_as_many_handshakes_a_second_as_allowed_and_not_one_more() -> None:
    clock = Clock()
    it = admit(handshakes_per_second=2, clock=clock)

    refusals = [it.check(SAME_HOST, ADA) for _ in range(3)]
    clock.now += 0.5

    assert refusals == [None, None, TOO_FAST]
    assert it.check(SAME_HOST, ADA) is None


def test_a_handshake_that_is_refused_for_another_reason_does_not_count() -> None:
    it = admit(handshakes_per_second=1)
    for _ in range(5):
        assert it.check(from_page("https://evil.example"), ADA) is WRONG_ORIGIN

    assert it.check(SAME_HOST, ADA) is None


# Origins


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://example.com", "example.com"),
        ("http://localhost:8000", "localhost:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
        ("HTTPS://Example.COM", "example.com"),
        ("https://example.com", "EXAMPLE.com"),
    ],
)
def test_a_page_of_the_same_host_may_connect(origin: str, host: str) -> None:
    assert admit().check(from_page(origin, host), ADA) is None


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://example.com:444",
        "https://example.com.evil.example",
        "https://sub.example.com",
        "https://example.com/",
        "https://evil.example/example.com",
        "https://user@example.com",
        "example.com",
        "//example.com",
        "null",
        "",
        "https://",
        "https://[",
        "https://[::1",
    ],
)
def test_a_page_of_anywhere_else_may_not(origin: str) -> None:
    assert admit().check(from_page(origin), ADA) is WRONG_ORIGIN


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://chat.example", "chat.example:443"),
        ("https://chat.example:443", "chat.example"),
        ("http://chat.example", "chat.example:80"),
        ("http://chat.example:80", "Chat.Example"),
        ("http://[::1]", "[::1]:80"),
        ("http://chat.example:8000", "chat.example:8000"),
    ],
)
def test_a_default_port_is_the_same_as_none(origin: str, host: str) -> None:
    """Red while origin and host were compared as texts: an SDK that writes :443 got 403."""
    assert admit().check(from_page(origin, host), ADA) is None


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://chat.example", "chat.example:80"),
        ("http://chat.example", "chat.example:443"),
        ("http://chat.example:8080", "chat.example"),
        ("https://chat.example:", "chat.example:x"),
    ],
)
def test_another_port_is_another_host(origin: str, host: str) -> None:
    assert admit().check(from_page(origin, host), ADA) is WRONG_ORIGIN


def test_a_refused_origin_is_told_once_a_minute_with_what_was_compared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A proxy that sends ``Host $host`` refuses every browser; in silence nobody finds it."""
    clock = Clock()
    it = admit(clock=clock)
    page = from_page("http://chat.example:8080", "chat.example")

    for clock.now in (100.0, 101.0, 159.9, 160.0):
        it.check(page, ADA)

    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "origin=http://chat.example:8080 host=chat.example" in told[0]
    assert "$http_host" in told[0]
    assert "GATEWAY_ALLOWED_ORIGINS" in told[0]


def test_those_without_an_address_share_no_limit_for_one() -> None:
    it = admit(max_connections_per_address=1)
    it.enter(UNIX)

    assert it.check(SAME_HOST, UNIX) is None


@pytest.mark.parametrize("origin", ["null", "", "https://", "https:// "])
def test_no_origin_is_the_same_host_as_no_host(origin: str) -> None:
    assert admit().check(from_page(origin, ""), ADA) is WRONG_ORIGIN


def test_what_is_no_browser_sends_no_origin_and_may_connect() -> None:
    assert admit(allowed_origins=("https://a.example",)).check(SAME_HOST, ADA) is None


@pytest.mark.parametrize("written", ["https://a.example", "https://A.example/"])
def test_a_page_that_is_listed_may_connect(written: str) -> None:
    it = admit(allowed_origins=("https://other.example", written))

    assert it.check(from_page("https://a.example"), ADA) is None


@pytest.mark.parametrize(
    "origin", ["http://a.example", "https://a.example:444", "https://example.com", "null"]
)
def test_with_a_list_only_those_that_are_listed_may(origin: str) -> None:
    it = admit(allowed_origins=("https://a.example",))

    assert it.check(from_page(origin), ADA) is WRONG_ORIGIN


def test_a_star_lets_every_page_connect() -> None:
    assert admit(allowed_origins=("*",)).check(from_page("null"), ADA) is None


# Hosts


@pytest.mark.parametrize("host", ["", "anything", "["])
def test_without_a_list_any_host_is_served(host: str) -> None:
    assert admit().check(Headers({"host": host}), ADA) is None


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("localhost", "localhost"),
        ("localhost", "localhost:8000"),
        ("localhost", "LocalHost:1"),
        ("Example.COM", "example.com"),
        ("::1", "[::1]:8000"),
        ("[::1]", "[::1]"),
        ("127.0.0.1", "127.0.0.1:80"),
        ("*", "anything"),
    ],
)
def test_a_host_that_is_listed_is_served_on_any_port(written: str, host: str) -> None:
    assert admit(allowed_hosts=("other", written)).check(Headers({"host": host}), ADA) is None


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "localhost.evil.example",
        "evil.example@localhost",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost/",
        "localhost:",
        "localhost:80:80",
        "localhost:many",
        "localhost ",
        "local\thost",
        "::1",
        "[",
        "[::1",
        "[localhost]",
    ],
)
def test_other_hosts_are_not_served(host: str) -> None:
    it = admit(allowed_hosts=("localhost", "::1"))

    assert it.check(Headers({"host": host}), ADA) is WRONG_HOST


def test_a_request_without_a_host_is_no_request() -> None:
    assert admit().check(Headers({}), ADA) is NOT_ONE_HOST


def test_a_request_of_http_1_0_has_no_host_and_is_of_no_host_that_is_listed() -> None:
    assert admit().check(Headers({}), ADA, http_version="1.0") is None
    it = admit(allowed_hosts=("localhost",))
    assert it.check(Headers({}), ADA, http_version="1.0") is WRONG_HOST


def test_a_request_with_two_hosts_is_no_request() -> None:
    """Red while the first one counted: a proxy may have looked at the other."""
    two = Headers(raw=[(b"host", b"localhost"), (b"host", b"localhost")])

    assert admit(allowed_hosts=("localhost",)).check(two, ADA) is NOT_ONE_HOST


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_whatever_the_headers_say_the_answer_is_a_refusal_or_none(
    host: bytes, origin: bytes
) -> None:
    headers = Headers(raw=[(b"host", host), (b"origin", origin)])

    for it in (admit(), admit(allowed_hosts=("a",)), admit(allowed_origins=("http://a",))):
        found = it.check(headers, ADA)
        assert found is None or isinstance(found, Refusal)


# Refusals


def refusals() -> list[Refusal]:
    known = [*vars(admission).values(), *vars(hosts).values()]
    return [value for value in known if isinstance(value, Refusal)]


@pytest.mark.parametrize("refusal", refusals(), ids=lambda refusal: str(refusal.reason))
def test_a_refusal_that_may_end_says_when_to_try_again(refusal: Refusal) -> None:
    assert (refusal.retry_after_s is not None) == (refusal.status in (429, 503))


def test_each_refusal_is_counted_under_a_name_of_its_own() -> None:
    reasons = [refusal.reason for refusal in refusals()]

    assert len(reasons) == len(set(reasons)) == 14


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (WRONG_ORIGIN, 403),
        (WRONG_HOST, 403),
        (TOO_MANY, 503),
        (TOO_MANY_FROM_ADDRESS, 429),
        (TOO_FAST, 429),
    ],
)
def test_a_refusal_has_the_status_that_was_promised(refusal: Refusal, status: int) -> None:
    assert refusal.status == status


def test_the_subprotocols_that_another_server_read_are_bounded() -> None:
    it = admit()

    assert it.check(SAME_HOST, ADA, subprotocols=MAX_SUBPROTOCOLS) is None
    assert it.check(SAME_HOST, ADA, subprotocols=MAX_SUBPROTOCOLS + 1) is TOO_MANY_SUBPROTOCOLS
