"""Whose address a client has: the peer's, or what a trusted proxy says of it."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

UNIX: Final = "unix:"
"""Instead of an address, of a peer that has none: it came by a Unix socket."""

_SCHEMES: Final = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_REMEMBERED: Final = 4096
MAX_HOPS: Final = 32  # that are looked at: to read one takes microseconds, and a client names many


def peer_of(client: Any) -> str:
    """The address in ASGI's ``client``: IPv4 also where it was wrapped in IPv6, or ``unix:``."""
    host = client[0] if client else ""
    return address_in(host) or host or UNIX


def address_in(text: str) -> str | None:
    """The address that ``text`` is, in its one form; None when it is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A socket that listens on :: tells IPv4 peers so (RFC 4291 section 2.5.5.2).
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


class TrustedProxies:
    """Those whose word on where a request came from is believed.

    Args:
        trusted: Addresses, networks, ``unix:`` for whoever comes by a Unix socket, ``*`` for all.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._all = "*" in trusted
        self._unix = UNIX in trusted
        self._networks = [ipaddress.ip_network(one) for one in trusted if one not in ("*", UNIX)]
        self.trusts = lru_cache(maxsize=_REMEMBERED)(self._trusts)

    def _trusts(self, peer: str) -> bool:
        if self._all or (peer == UNIX and self._unix):
            return True
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self._networks)

    def client(self, forwarded: str) -> str | None:
        """The client's address in the X-Forwarded-For of a trusted peer; None when it has none.

        It is the last one that no trusted proxy has: each proxy appends whom it saw. What is no
        address ends the search, since nobody can vouch for what stands before it. If all peers are
        trusted it is the first. The search ends after ``MAX_HOPS``.
        """
        if self._all:
            first = map(_hop, forwarded.split(",", MAX_HOPS)[:MAX_HOPS])
            return next((hop for hop in first if hop is not None), None)
        nearest = None
        for part in reversed(forwarded.rsplit(",", MAX_HOPS)[-MAX_HOPS:]):
            hop = _hop(part)
            if hop is None:
                break
            nearest = hop
            if not self.trusts(hop):
                break
        return nearest


class Forwarded:
    """ASGI middleware: ``client`` and ``scheme`` as a trusted proxy tells them."""

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._proxies = TrustedProxies(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and self._proxies.trusts(peer_of(scope.get("client"))):
            self._believe(scope)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        proto, hops = "", []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto":
                proto = value.decode("latin-1").strip().lower()
            elif name == b"x-forwarded-for":
                hops.append(value.decode("latin-1"))
        if proto in _SCHEMES:
            sockets = scope["type"] == "websocket"
            scope["scheme"] = _SCHEMES[proto] if sockets else _SCHEMES[proto].replace("ws", "http")
        if hops and (client := self._proxies.client(",".join(hops))) is not None:
            scope["client"] = (client, 0)


def _hop(text: str) -> str | None:
    """An address with or without port, IPv6 with a port in brackets (RFC 7239 section 6)."""
    text = text.strip()
    if text.startswith("["):
        return address_in(text[1:].partition("]")[0])
    return address_in(text) or address_in(text.rpartition(":")[0])
