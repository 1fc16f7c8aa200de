"""Values that could never match anything are refused with what would be right."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.settings import values as setting_values


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://a.example",
        "https://A.Example/",
        "http://localhost:8000",
        "http://127.0.0.1",
        "http://[::1]:8080",
        "capacitor://localhost",
        "chrome-extension://abcdefghij",
        "https://a.example:8443",
        "http://a.example:443",
    ],
)
def test_what_a_browser_may_send_as_origin_is_taken(origin: str) -> None:
    assert setting_values.origins("NAME", origin) == (origin,)


@pytest.mark.parametrize(
    "origin",
    [
        "a.example",
        "https://a.example/chat",
        "https://*.a.example",
        "https://bücher.example",
        "https://user@a.example",
        "https://",
        "//a.example",
        "https://a.example:",
    ],
)
def test_an_origin_that_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match="is no origin: SCHEME://HOST or SCHEME://HOST:PORT"):
        setting_values.origins("NAME", origin)


@pytest.mark.parametrize("origin", ["https://a.example:443", "http://a.example:80"])
def test_a_port_that_browsers_leave_out_is_refused(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"browsers leave out :(80|443), so leave it out"):
        setting_values.origins("NAME", f"https://b.example,{origin}")


@pytest.mark.parametrize(
    "host", ["*", "a.example", "A.Example", "localhost", "10.0.0.1", "::1", "[::1]", "my_service"]
)
def test_what_a_host_header_may_name_is_taken(host: str) -> None:
    assert setting_values.hosts("NAME", host) == (host,)


@pytest.mark.parametrize(
    "host", ["a.example:8000", "https://a.example", "a.example/", "*.a.example", "bücher.example"]
)
def test_a_host_that_no_header_can_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match=r"is no host: .*without scheme, port, path or wildcard"):
        setting_values.hosts("NAME", host)


@pytest.mark.parametrize("network", ["*", "10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8"])
def test_an_address_or_network_of_proxies_is_taken(network: str) -> None:
    assert setting_values.networks("NAME", network) == (network,)


@pytest.mark.parametrize("network", ["nginx", "10.0.0.1/8", "10.0.0", "10.0.0.1:80", "10.0.0.*"])
def test_a_proxy_that_is_no_address_is_refused(network: str) -> None:
    with pytest.raises(ConfigError, match=r"NAME=\S+ is no address, network, unix: or \*: "):
        setting_values.networks("NAME", network)
