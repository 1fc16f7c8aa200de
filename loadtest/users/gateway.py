"""The client of the text endpoint: sends on schedule, reads all the time, checks everything."""

from __future__ import annotations

import random
import time
from typing import Any, Final

import gevent
from locust import User, task
from websocket import WebSocketBadStatusException

from loadtest.backoff import full_jitter_s, may_come_back
from loadtest.checker import Conversation, Fault, Heard, Left, Line
from loadtest.generator import Generator, generator_of
from loadtest.users.dialects import (
    TRACE,
    Answer,
    Failure,
    Greeting,
    Meaning,
    Pushed,
    hear_plain,
    hear_trace,
)
from loadtest.users.socket import LOST, ClientSocket, Closed, open_socket

STEADY_S: Final = 5.0  # a connection that lasted this long makes waits short again


class GatewayUser(User):
    """One client with one socket at a time. One greenlet connects, reads and reconnects; the
    locust task only sends what is due, and never waits for an answer.
    """

    abstract = True
    path = "/communicate"
    subprotocols: tuple[str, ...] = (TRACE,)
    receive_bytes = 0
    close_name = "close"
    echo_name = "echo"

    def on_start(self) -> None:
        self.generator: Generator = generator_of(self.environment)
        self.name = self.generator.enter(self)
        self.conversation = Conversation(self.name)
        self.socket: ClientSocket | None = None
        self.connection = ""
        self.leaving = False
        self._left_at_s: float | None = None
        self._dropped = False
        self._obeyed = ""
        self._rate = 0.0
        self._due_s = 0.0
        self._life = gevent.spawn(self._live)

    def on_stop(self) -> None:
        self.end(in_time=False)
        self._life.kill()
        if self.socket is not None:
            self.socket.drop()

    @property
    def connected(self) -> bool:
        return self.socket is not None

    @property
    def unanswered(self) -> int:
        return self.conversation.unanswered

    def obey(self, order: dict[str, Any]) -> None:
        """An order of the scenario to all users."""

    def end(self, *, in_time: bool) -> None:
        """Leave for good. What had its time and is unanswered on an open connection is missing."""
        if self.leaving:
            return
        self.leaving = True
        left = self.account(standing=in_time and self.connected)
        self.generator.left(left.missing, left.in_doubt, f"{left.missing} lines of {self.name}")
        if self.socket is not None:
            self.socket.say_goodbye()

    def account(self, *, standing: bool) -> Left:
        """What is left of a connection that ended, or stands though all had its time."""
        return self.conversation.end() if standing else self.conversation.close()

    # Sending

    @property
    def rate(self) -> float:
        """Lines a second, now."""
        return self.generator.per_user if self.generator.talking else 0.0

    def written(self, line: Line) -> str:
        return line.text()

    def wait_time(self) -> float:
        """Until the next line is due, but never long: the rate may change."""
        rate = self.rate
        now_s = time.monotonic()
        if rate != self._rate:
            self._rate = rate
            # Each user has a place of its own in the interval, so that the load is even.
            self._due_s = now_s + random.random() / rate if rate else 0.0
        if not rate:
            return self.generator.look_s
        return min(self.generator.look_s, max(0.0, self._due_s - now_s))

    @task
    def send_what_is_due(self) -> None:
        """Open loop: lines are due by the clock. Late ones are sent, and their lateness counts."""
        if not (self._rate and self.generator.talking):
            return
        while (due_s := self._due_s) <= (now_s := time.monotonic()):
            self._due_s = due_s + 1 / self._rate
            if self.socket is None:
                self.generator.count("held back")
                continue
            self.say(due_s, time.time() - (now_s - due_s))

    def say(self, due_s: float, due_unix_s: float) -> None:
        """Send one line."""
        assert self.socket is not None
        line = self.conversation.say(due_s, due_unix_s)
        self.generator.count("sent")
        try:
            self.socket.send(self.written(line))
        except LOST:
            self.broken()

    def broken(self) -> None:
        """A line could not be sent. The reader sees it too, and says how the connection ended."""

    # Living: connect, read, come back

    def _live(self) -> None:
        failures = 0
        while not self.leaving:
            socket = self._connect()
            if socket is None:
                failures += 1
            else:
                since_s = time.monotonic()
                closed = self.read(socket)
                self._lost(closed)
                if not may_come_back(closed.code):
                    return
                failures = 0 if time.monotonic() - since_s >= STEADY_S else failures + 1
            if not self.leaving:
                gevent.sleep(full_jitter_s(failures))

    @property
    def url(self) -> str:
        return "ws" + (self.host or "").removeprefix("http").rstrip("/") + self.path

    def _connect(self) -> ClientSocket | None:
        begun_s = time.monotonic()
        try:
            socket = open_socket(
                self.url, list(self.subprotocols), receive_bytes=self.receive_bytes
            )
        except WebSocketBadStatusException as refused:
            self._refused(f"HTTP {refused.status_code}")
            return None
        except LOST as error:
            self._refused(type(error).__name__)
            return None
        now_s = time.monotonic()
        self.generator.count("opened")
        self.generator.timed("ws connect", now_s - begun_s)
        if self._left_at_s is not None:
            self.generator.timed("away", now_s - self._left_at_s)
            self._left_at_s = None
        self.opened(socket)
        return socket

    def opened(self, socket: ClientSocket) -> None:
        self.socket, self.connection = socket, socket.connection
        if self.leaving:
            socket.say_goodbye()

    def drop(self) -> None:
        """Lose the connection, on purpose and without a word."""
        if self.socket is not None:
            self._dropped = True
            self.socket.drop()

    def _refused(self, why: str) -> None:
        self.generator.count(f"refused {why}")
        self.generator.event("ws connect", None, error=f"refused: {why}")

    def _lost(self, closed: Closed) -> None:
        self.socket = None
        left = self.account(standing=False)
        self.generator.left(left.missing, left.in_doubt, f"{left.missing} lines of {self.name}")
        if self.leaving:
            return
        self._left_at_s = time.monotonic()
        if self._dropped:
            self._dropped = False
            self.generator.count("left")
            return
        self.generator.count(f"{self.close_name} {closed.code}")
        self.generator.event(f"{self.close_name} {closed.code}", None)

    # Reading

    def read(self, socket: ClientSocket) -> Closed:
        """Read to the end of the connection."""
        hear = hear_trace if socket.subprotocol == TRACE else hear_plain
        while True:
            text = socket.receive()
            if isinstance(text, Closed):
                return text
            self.generator.count("received")
            self.take(hear(text), time.monotonic(), len(text))

    def take(self, meaning: Meaning, now_s: float, size: int) -> None:
        if self.leaving:
            return  # it was judged, and is no longer counted
        match meaning:
            case Answer(text):
                self._judge(self.conversation.hear(text, now_s), self.echo_name, size)
            case Failure(reason):
                failed = self.conversation.fail(reason)
                if failed.fault is Fault.FAILED:
                    self.generator.failed(f"{reason[:60]!r} to a message", failed.detail)
                else:
                    self._judge(failed, self.echo_name, size)
            case Pushed(text):
                heard = self.generator.book.arrive(text, self.connection, now_s)
                if heard is not None:
                    self._judge(heard, "push", size)
            case Greeting():
                pass

    def _judge(self, heard: Heard, name: str, size: int) -> None:
        if heard.fault is not None:
            self.generator.fault(heard.fault, heard.detail)
            return
        self.generator.count("pushed" if name == "push" else "answered")
        self.generator.timed(name, heard.latency_s, size=size)
