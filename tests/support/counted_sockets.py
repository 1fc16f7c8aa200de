"""Sockets of a served gateway that count how often they are written to, by whomever."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from gateway.edge.sockets.picows_websocket import GatewayWebSocket


class CountedTransport:
    """A transport that counts how often it is written to."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.writes = 0
        self.descriptor: int = transport.get_extra_info("socket").fileno()

    def write(self, written: bytes) -> None:
        self.writes += 1
        self._transport.write(written)

    def writelines(self, written: Iterable[bytes]) -> None:
        self.writes += 1
        self._transport.writelines(written)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class CountedWebSocket(GatewayWebSocket):
    """Our protocol on such transports."""

    made: list[CountedTransport]

    def connection_made(self, transport: Any) -> None:
        counted = CountedTransport(transport)
        self.made.append(counted)
        super().connection_made(counted)  # type: ignore[arg-type]  # it is one but for its type


class CountingOs:
    """Stands for ``os`` where whole runs are written, and counts those as their sockets'."""

    def __init__(self, made: list[CountedTransport]) -> None:
        self._made = made

    def write(self, descriptor: int, written: bytes) -> int:
        for transport in self._made:
            transport.writes += transport.descriptor == descriptor
        return os.write(descriptor, written)


def counted_protocol() -> type[CountedWebSocket]:
    """Such a class, with a list of its own."""
    return type("Protocol", (CountedWebSocket,), {"made": []})
