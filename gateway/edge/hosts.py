"""Which Host and which Origin a request may name.

Both are compared as RFC 6454 section 4 and RFC 9110 section 4.2.3 do: without regard to case, and a
default port is the same as none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from gateway.edge.refusal import Refusal

# RFC 9110 section 7.2: a name or an address, in brackets if it is IPv6, and perhaps a port. Not
# urlsplit(): it raises at some of what clients send, and finds a host in more than is one.
_HOST: Final = re.compile(
    r"(?P<name>\[[0-9a-f:.]+\]|[^\s/?#@:\[\]]+)(:(?P<port>\d{1,5}))?", re.ASCII
)
# RFC 6454 section 6.2: scheme, host and port, with nothing behind them; or the word null.
_ORIGIN: Final = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[^\s/?#@]+)", re.ASCII)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

WRONG_HOST: Final = Refusal(HTTPStatus.FORBIDDEN, "host", "this host name is not served here")
NOT_ONE_HOST: Final = Refusal(
    HTTPStatus.BAD_REQUEST, "request", "a request has exactly one Host header"
)

RawHeaders = Sequence[tuple[bytes, bytes]]


class Hosts:
    """The names under which a gateway is reached. None of them allowed by name: all are.

    Args:
        allowed: Names and addresses without port, or ``*``.
    """

    def __init__(self, allowed: Sequence[str]) -> None:
        names = {host.lower().strip("[]") for host in allowed}
        self._names = set() if "*" in names else names

    def check(
        self, headers: RawHeaders, *, http_version: str, own: str | None = None
    ) -> Refusal | None:
        """Decide on the Host header of one request. None lets it pass.

        Args:
            own: An address that is allowed besides: the one at which the request arrived, for a
                probe that knows this process by nothing else. No page can be served from it.
        """
        found = [value for name, value in headers if name == b"host"]
        # Several: whoever stood before us may have looked at another one than we do. HTTP/1.0 has
        # none (RFC 9112 section 3.2).
        if len(found) > 1 or (not found and http_version == "1.1"):
            return NOT_ONE_HOST
        host = found[0].decode("latin-1").lower() if found else ""
        return None if self._allows(host, own) else WRONG_HOST

    def _allows(self, host: str, own: str | None) -> bool:
        if not self._names:
            return True
        match = _HOST.fullmatch(host)
        if match is None:
            return False
        name = match["name"].strip("[]")
        return name in self._names or name == own


def same_host(origin: str, host: str) -> bool:
    """Whether a page of ``origin`` was served under ``host``, as a Host header has it."""
    page = _ORIGIN.fullmatch(origin.lower())
    if page is None:
        return False
    default = _DEFAULT_PORTS.get(page["scheme"], "")
    return _place(page["host"], default) == _place(host.lower(), default) is not None


def _place(host: str, default_port: str) -> tuple[str, str] | None:
    match = _HOST.fullmatch(host)
    if match is None:
        return None
    port = match["port"] or ""
    return match["name"], "" if port == default_port else port
