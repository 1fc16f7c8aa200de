"""One client socket: websocket-client on a connection that we open ourselves."""

from __future__ import annotations

import itertools
import os
import socket
import ssl
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from websocket import ABNF, WebSocket, WebSocketException

HANDSHAKE_S: Final = 15.0
ABNORMAL: Final = 1006
SUBPROTOCOL: Final = "Sec-WebSocket-Protocol"
CONNECTION_ID: Final = "gateway-connection-id"

# One source address has some 28,000 ports for one destination; loopback has many addresses.
PER_SOURCE: Final = 20_000
_opened = itertools.count()

# What a peer or a network may do to a socket. websocket-client lets some of it through as it is.
LOST: Final = (OSError, WebSocketException, EOFError)


class _Buffered(socket.socket):
    """Reads much at once: websocket-client asks for two bytes, then two more, then the rest."""

    _rest = b""

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self._rest:
            self._rest = super().recv(1 << 16, flags)
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


@dataclass(frozen=True, slots=True)
class Closed:
    """How a connection ended."""

    code: int
    reason: str


class ClientSocket:
    """An open WebSocket. One greenlet reads, any may send."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        headers: dict[str, str] = websocket.getheaders() or {}
        self.subprotocol = headers.get(SUBPROTOCOL.lower(), "")  # empty: the server chose none
        self.connection = headers.get(CONNECTION_ID, "")

    def send(self, text: str) -> None:
        """Blocks while the peer does not read. May raise any of ``LOST``."""
        self._websocket.send(text)

    def receive(self) -> str | Closed:
        """The next text, or how the connection ended."""
        try:
            opcode, frame = self._websocket.recv_data()
        except LOST:
            return Closed(ABNORMAL, "")
        if opcode != ABNF.OPCODE_CLOSE:
            return str(frame, "utf-8", "replace")
        code = int.from_bytes(frame[:2], "big") if len(frame) >= 2 else 1005
        return Closed(code, str(frame[2:], "utf-8", "replace"))

    def say_goodbye(self) -> None:
        """Begin the closing handshake: the reader will see it end."""
        try:
            self._websocket.send_close()
        except LOST:
            self.drop()

    def drop(self) -> None:
        """End it without a word. A reader that waits sees it."""
        self._websocket.shutdown()


def open_socket(url: str, subprotocols: list[str], *, receive_bytes: int = 0) -> ClientSocket:
    """Connect and shake hands.

    Args:
        receive_bytes: Bound of what the kernel takes in for a client that does not read.

    Raises:
        WebSocketBadStatusException: Refused, with the HTTP status.
        OSError, WebSocketException: It did not work.
    """
    stream = _connect(url, receive_bytes)
    websocket = WebSocket(enable_multithread=True)
    try:
        # Offered by hand: websocket-client takes it for an error when a server chooses none.
        offer = {SUBPROTOCOL: ", ".join(subprotocols)} if subprotocols else {}
        websocket.connect(url, socket=stream, header=offer, suppress_origin=True)
        stream.settimeout(None)
    except BaseException:
        stream.close()
        raise
    return ClientSocket(websocket)


def _connect(url: str, receive_bytes: int) -> Any:
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    error: OSError = OSError(f"{host} has no address")
    for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        try:
            stream = _open(family, address, receive_bytes)
        except OSError as failed:
            error = failed
            continue
        if parts.scheme == "wss":
            return ssl.create_default_context().wrap_socket(stream, server_hostname=host)
        return stream
    raise error


def _open(family: int, address: Any, receive_bytes: int) -> _Buffered:
    stream = _Buffered(family, socket.SOCK_STREAM)
    try:
        stream.settimeout(HANDSHAKE_S)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_bytes:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        if address[0] == "127.0.0.1":
            source = 1 + (os.getpid() + next(_opened) // PER_SOURCE) % 250
            stream.bind((f"127.0.0.{source}", 0))
        stream.connect(address)
    except BaseException:
        stream.close()
        raise
    return stream
