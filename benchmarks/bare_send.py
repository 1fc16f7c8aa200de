"""An echo of recv(2), send(2) and as little Python as can be. Prints its port.

The limit for a server whose loop is in Python; that of picows is in C.

One text of one frame for each recv: what a client that waits for its answers sends. No other rule
of WebSocket is kept.
"""

from __future__ import annotations

import base64
import hashlib
import re
import select
import socket

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE = 0x88


def accept(connection: socket.socket) -> None:
    request = connection.recv(4096)
    found = re.search(rb"(?i)sec-websocket-key: *(\S+)", request)
    assert found, request
    answer = base64.b64encode(hashlib.sha1(found[1] + GUID).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + answer + b"\r\n\r\n"
    )


def unmasked(frame: bytes) -> bytes:
    """The same frame as a server sends it. Texts of less than 64 KB."""
    head = 4 if frame[1] & 0x7F == 126 else 2
    mask, size = frame[head : head + 4], len(frame) - head - 4
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    text = (int.from_bytes(frame[head + 4 :], "big") ^ key).to_bytes(size, "big")
    return bytes((frame[0], frame[1] & 0x7F)) + frame[2:head] + text


def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    print(listener.getsockname()[1], flush=True)
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    connections: dict[int, socket.socket] = {}
    while True:
        for number, _ in poll.poll():
            connection = connections.get(number)
            if connection is None:
                connection, _ = listener.accept()
                accept(connection)
                connections[connection.fileno()] = connection
                poll.register(connection, select.EPOLLIN)
            elif (frame := connection.recv(65536)) and frame[0] != CLOSE:
                connection.send(unmasked(frame))
            else:
                del connections[number]
                poll.unregister(connection)
                connection.close()


if __name__ == "__main__":
    main()
