"""Servers that answer without an end, asked by whoever has no event loop."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from redis.exceptions import InvalidResponse
from redis.exceptions import TimeoutError as RedisTimeoutError

from gateway.errors import BrokerUnavailable
from gateway.redis_support.client import blocking_client, fence
from gateway.redis_support.one_connection import ask
from gateway.redis_support.reader import MAX_REPLY_BYTES
from gateway.redis_support.sentinels import Sentinels
from gateway.redis_support.stream import Endpoint
from gateway.redis_support.url import parse
from tests.support.ids import new_worker_id

DEADLINE_S = 0.3
DRIP_S = 0.05
DRIPS = 40
DRIPPED_S = DRIPS * DRIP_S
ABSURD = b"*2147483647\r\n"

Say = Callable[[Callable[[bytes], object]], None]


@contextmanager
def server(says: Say) -> Iterator[Endpoint]:
    """Says the same to each connection, as soon as it has heard something."""

    class Connection(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            says(self.request.sendall)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that is gone is no news."""

    with Server(("127.0.0.1", 0), Connection) as listening:
        threading.Thread(
            target=listening.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        yield "127.0.0.1", listening.server_address[1]
        listening.shutdown()


def drip(send: Callable[[bytes], object]) -> None:
    """A string that is announced, and comes a byte at a time."""
    send(b"$1000\r\n")
    for _ in range(DRIPS):
        send(b"x")
        time.sleep(DRIP_S)


def announce(send: Callable[[bytes], object]) -> None:
    send(ABSURD)
    time.sleep(DRIPPED_S)


def pour(send: Callable[[bytes], object]) -> None:
    send(b"$500000000\r\n")
    for _ in range(2 * MAX_REPLY_BYTES >> 20):
        send(b"x" * (1 << 20))


def test_an_answer_that_does_not_end_is_waited_for_no_longer_than_none() -> None:
    with server(drip) as (host, port):
        began = time.monotonic()
        with pytest.raises(RedisTimeoutError):
            ask(host, port, ("PING",), deadline_s=DEADLINE_S)

        assert time.monotonic() - began < DRIPPED_S / 2


@pytest.mark.parametrize("says", [announce, pour])
def test_no_room_is_made_for_what_no_redis_says(says: Say) -> None:
    with server(says) as (host, port), pytest.raises(InvalidResponse):
        ask(host, port, ("PING",), deadline_s=10.0)


def test_what_comes_in_pieces_in_time_is_an_answer() -> None:
    def in_pieces(send: Callable[[bytes], object]) -> None:
        for piece in (b"*", b"2\r", b"\n$3\r\nab", b"c\r\n:", b"7\r\n"):
            send(piece)
            time.sleep(0.01)

    with server(in_pieces) as (host, port):
        assert ask(host, port, ("PING",), deadline_s=10.0) == [[b"abc", 7]]


def test_each_answer_has_its_own_time() -> None:
    def one_after_the_other(send: Callable[[bytes], object]) -> None:
        for _ in range(3):
            time.sleep(0.25)
            send(b"+PONG\r\n")

    with server(one_after_the_other) as (host, port):
        assert ask(host, port, *[("PING",)] * 3, deadline_s=0.5) == [b"PONG"] * 3


def test_a_redis_that_does_not_end_holds_up_no_supervisor() -> None:
    with server(drip) as (host, port):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            fence(parse(f"redis://{host}:{port}"), "gw", new_worker_id(), deadline_s=DEADLINE_S)

        assert time.monotonic() - began < DRIPPED_S / 2


def test_nor_does_a_sentinel() -> None:
    with server(drip) as host:
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            Sentinels([host], "main").locate_blocking(deadline_s=DEADLINE_S)

        assert time.monotonic() - began < DRIPPED_S / 2


def test_an_absurd_answer_is_one_of_no_redis_to_a_client() -> None:
    with server(announce) as (host, port):
        client = blocking_client(parse(f"redis://{host}:{port}"), deadline_s=10.0)
        with client, pytest.raises(InvalidResponse):
            client.ping()
