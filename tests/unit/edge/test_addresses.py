"""Whose address a client has, by what was sent and who is trusted."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.edge.addresses import MAX_HOPS, UNIX, TrustedProxies, address_in, peer_of


@pytest.mark.parametrize(
    ("client", "peer"),
    [
        (("192.0.2.1", 5), "192.0.2.1"),
        (("::ffff:192.0.2.1", 5), "192.0.2.1"),
        (("2001:DB8:0::1", 5), "2001:db8::1"),
        (("testclient", 50000), "testclient"),
        (None, UNIX),
        (("", 0), UNIX),
    ],
)
def test_a_peer_has_one_address_in_one_form(client: object, peer: str) -> None:
    assert peer_of(client) == peer


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        (" 203.0.113.7 ", "203.0.113.7"),
        ("203.0.113.7:4711", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7", "203.0.113.7"),
        ("6.6.6.6, 203.0.113.7, 10.0.0.2", "203.0.113.7"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("6.6.6.6, unknown, 10.0.0.2", "10.0.0.2"),
        ("unknown", None),
        ("", None),
        ("203.0.113.7,", None),
        ("'; DROP TABLE", None),
        ("203.0.113.07", None),
    ],
)
def test_the_client_is_the_last_that_no_trusted_proxy_has(
    forwarded: str, client: str | None
) -> None:
    """Red for the last ones while whatever stood there was an address."""
    assert TrustedProxies(("10.0.0.0/8",)).client(forwarded) == client


def test_with_all_trusted_it_is_the_first_that_is_an_address() -> None:
    assert TrustedProxies(("*",)).client("unknown, 6.6.6.6, 10.0.0.2") == "6.6.6.6"


@pytest.mark.parametrize(
    ("trusted", "peer", "is_trusted"),
    [
        ((), "127.0.0.1", False),
        ((), UNIX, False),
        (("unix:",), UNIX, True),
        (("unix:",), "127.0.0.1", False),
        (("::1",), "::1", True),
        (("127.0.0.0/8",), UNIX, False),
        (("127.0.0.0/8",), "testclient", False),
        (("*",), UNIX, True),
    ],
)
def test_who_is_trusted(trusted: tuple[str, ...], peer: str, is_trusted: bool) -> None:
    assert TrustedProxies(trusted).trusts(peer) is is_trusted


@given(st.text(), st.sampled_from([(), ("10.0.0.0/8",), ("*",)]))
def test_whatever_is_sent_a_client_is_an_address_or_none(
    forwarded: str, trusted: tuple[str, ...]
) -> None:
    client = TrustedProxies(trusted).client(forwarded)

    assert client is None or address_in(client) == client


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", "*"])
@pytest.mark.parametrize("hop", ["", "x:", "1", "10.0.0.2"])
@pytest.mark.parametrize("last", ["203.0.113.7", "10.0.0.3", ""])
def test_of_many_hops_a_few_are_read(
    trusted: str, hop: str, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red while each was: those of one request with 60 KB of them held the loop for seconds."""
    read: list[Any] = []

    def ip_address(text: str) -> Any:
        read.append(text)
        return made(text)

    made = ipaddress.ip_address
    proxies = TrustedProxies((trusted,))
    monkeypatch.setattr(ipaddress, "ip_address", ip_address)
    proxies.client(",".join([*[hop] * 20_000, last]))
    assert len(read) <= 3 * MAX_HOPS  # with and without port, and whether it is trusted


def test_behind_as_many_proxies_as_are_looked_at_the_client_is_found() -> None:
    inner = ["10.0.0.2"] * (MAX_HOPS - 1)
    proxies = TrustedProxies(("10.0.0.0/8",))
    assert proxies.client(",".join(["203.0.113.7", *inner])) == "203.0.113.7"
    assert proxies.client(",".join(["203.0.113.7", "10.0.0.3", *inner])) == "10.0.0.3"
