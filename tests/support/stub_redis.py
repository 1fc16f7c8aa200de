"""A server that speaks just enough of Redis' protocol for blocking clients, as slow as wanted."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable
from types import TracebackType

from gateway.redis_support.slots import SLOTS
from gateway.redis_support.stream import Endpoint

Answer = Callable[[tuple[str, ...]], bytes]


class StubRedis:
    """Answers commands with the bytes that ``answer`` makes of them. A context manager.

    Attributes:
        after_s: How long each answer takes. None: it takes connections, and never answers.
        heard: The commands, of all connections.
    """

    def __init__(self, answer: Answer, *, after_s: float | None = 0.0) -> None:
        self.after_s = after_s
        self.answer = answer
        self.heard: list[tuple[str, ...]] = []
        self._over = threading.Event()
        stub = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                while command := _read(self.rfile.readline, self.rfile.read):
                    stub.heard.append(command)
                    if stub._over.wait(stub.after_s) or stub.after_s is None:
                        return
                    self.wfile.write(stub.answer(command))

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that is gone is no news."""

        self._server = Server(("127.0.0.1", 0), Connection)
        self.at: Endpoint = ("127.0.0.1", self._server.server_address[1])

    def __enter__(self) -> StubRedis:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()


def cluster_answers(owners: Callable[[], list[Endpoint]]) -> Answer:
    """Those of a master of a Cluster, which ``owners`` part evenly. It takes every publication."""

    def answer(command: tuple[str, ...]) -> bytes:
        match command[:2]:
            case "CLUSTER", "INFO":
                return bulk("cluster_state:ok\r\ncluster_current_epoch:1\r\n")
            case "CLUSTER", "SLOTS":
                return _slots(owners())
            case "SPUBLISH", _:
                return b":0\r\n"
        return b"-ERR unknown command\r\n"

    return answer


def share(number: int, masters: int) -> range:
    """The slots of this one of so many masters."""
    return range(number * SLOTS // masters, (number + 1) * SLOTS // masters)


def _slots(owners: list[Endpoint]) -> bytes:
    ranges = []
    for number, (host, port) in enumerate(owners):
        slots = share(number, len(owners))
        node = b"*2\r\n" + bulk(host) + b":%d\r\n" % port
        ranges.append(b"*3\r\n:%d\r\n:%d\r\n%b" % (slots[0], slots[-1], node))
    return b"*%d\r\n" % len(ranges) + b"".join(ranges)


def bulk(text: str) -> bytes:
    """As Redis writes a string."""
    return b"$%d\r\n%b\r\n" % (len(text), text.encode())


def _read(line: Callable[[], bytes], read: Callable[[int], bytes]) -> tuple[str, ...]:
    count = line()
    words = []
    for _ in range(int(count[1:]) if count else 0):
        size = int(line()[1:])
        words.append(read(size + 2)[:size].decode(errors="replace"))
    return tuple(words)
