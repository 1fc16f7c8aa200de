"""Many clients that send on schedule and check every answer: the ledger of a bad day."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, cast

import msgspec
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.support.pusher import Pusher, Receipts

LATE_S = 15.0
RECONNECT_S = 0.5

_read_json = msgspec.json.Decoder().decode


@dataclass
class Ledger:
    """What a crowd sent and what it got. Every message ends in exactly one of the columns."""

    sent: int = 0
    answered: int = 0
    errors: int = 0  # answered with an error
    in_doubt: int = 0  # unanswered, and the client saw its connection close
    lost: int = 0  # unanswered, and the connection still stands
    duplicates: int = 0
    misrouted: int = 0
    disordered: int = 0
    late: int = 0  # answered, but after more than LATE_S
    slowest_s: float = 0.0
    reconnects: int = 0
    refused: int = 0
    remote: int = 0  # answered by a worker that does not hold the connection
    attempts: Counter[int] = field(default_factory=Counter)
    closes: Counter[int] = field(default_factory=Counter)
    closed_at: list[float] = field(default_factory=list)
    receipts: Receipts | None = None  # of what was pushed meanwhile
    lies: dict[str, int] = field(default_factory=dict)  # receipts that were not true

    @property
    def broken(self) -> dict[str, int]:
        """The promises that were broken; empty on a good day."""
        names = ("lost", "duplicates", "misrouted", "disordered")
        return {name: getattr(self, name) for name in names if getattr(self, name)} | self.lies

    def table(self, title: str) -> str:
        """One line of figures for people."""
        return (
            f"{title}: sent {self.sent}, answered {self.answered}, errors {self.errors}, "
            f"duplicates {self.duplicates}, late {self.late}, in doubt {self.in_doubt}, "
            f"lost {self.lost}, misrouted {self.misrouted}, out of order {self.disordered}; "
            f"by another worker {self.remote}, slowest {self.slowest_s:.2f} s, "
            f"closes {dict(sorted(self.closes.items()))}, reconnects {self.reconnects}, "
            f"attempts {dict(sorted(self.attempts.items()))}"
        ) + (f"; {self.receipts.table()}" if self.receipts is not None else "")


class CrowdClient(WSListener):
    """One client: one socket at a time, messages numbered through all of them."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.crowd = crowd
        self.number = number
        self.serial = 0
        self.connection = ""
        self.worker = ""
        self.unanswered: deque[tuple[str, float]] = deque()
        self.transport: WSTransport | None = None
        self.close_code = 0
        self.closed_for_good = False
        self.silent = False
        self.pushed = 0

    @property
    def connected(self) -> bool:
        return bool(self.worker)

    def send(self) -> None:
        if self.transport is None or not self.worker:
            return
        self.serial += 1
        self.say(f"{self.number}:{self.serial}")

    def say(self, text: str) -> None:
        """Send this text, to be echoed."""
        assert self.transport is not None
        self.unanswered.append((text, self.crowd.loop.time()))
        self.crowd.ledger.sent += 1
        self.transport.send(WSMsgType.TEXT, text.encode())

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.close_code = cast(int, WSCloseCode.ABNORMAL_CLOSURE)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_code = cast(int, frame.get_close_code())
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            self._take(_read_json(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        ledger = self.crowd.ledger
        self.transport = None
        self.worker = ""
        ledger.in_doubt += len(self.unanswered)
        self.unanswered.clear()
        ledger.closes[int(self.close_code)] += 1
        ledger.closed_at.append(self.crowd.loop.time())
        terminal = 3500 <= self.close_code < 4000 or 4500 <= self.close_code < 5000
        if self.crowd.open and not terminal and not self.closed_for_good:
            ledger.reconnects += 1
            self.crowd.begin(self.connect(random.uniform(0, RECONNECT_S)))

    async def connect(self, delay_s: float = 0.0) -> None:
        """Connect, and try again until it works."""
        while self.crowd.open:
            await asyncio.sleep(delay_s)
            delay_s = random.uniform(0, RECONNECT_S)
            url = self.crowd.next_url()
            try:
                await ws_connect(
                    lambda: self,
                    url,
                    extra_headers={"Sec-WebSocket-Protocol": "gateway.trace.v1"},
                    websocket_handshake_timeout=5,
                )
            except (WSError, OSError, TimeoutError):
                self.crowd.ledger.refused += 1
            else:
                return

    def _take(self, message: dict[str, Any]) -> None:
        ledger = self.crowd.ledger
        if "connection" in message:
            self.connection, self.worker = message["connection"], message["worker"]
            return
        if "push" in message:
            self.pushed += 1
            if self.crowd.pusher is not None:
                self.crowd.pusher.receipts.arrived(message["push"], self.connection)
            return
        if not self.unanswered:
            ledger.duplicates += 1
            return
        wanted, sent_at = self.unanswered[0]
        if "error" in message:
            ledger.errors += 1
        elif message["text"] == f"Received:{wanted}":
            ledger.answered += 1
            ledger.remote += message["handled_by"] != self.worker
            ledger.attempts[message["attempt"]] += 1
        else:
            self._complain(message["text"].removeprefix("Received:"))
            return
        self.unanswered.popleft()
        took_s = self.crowd.loop.time() - sent_at
        ledger.slowest_s = max(ledger.slowest_s, took_s)
        ledger.late += took_s > LATE_S

    def _complain(self, text: str) -> None:
        ledger = self.crowd.ledger
        number, _, serial = text.partition(":")
        if number != str(self.number):
            ledger.misrouted += 1
        elif int(serial) < int(self.unanswered[0][0].partition(":")[2]):
            ledger.duplicates += 1
        else:
            ledger.disordered += 1


class Crowd:
    """``size`` clients that together send ``size * per_second`` messages a second.

    An async context manager: all are connected when it is entered, and all leave at its end.

    Args:
        pushes_per_second: Sends of a backend to the same connections, while messages are sent.
    """

    def __init__(
        self,
        urls: Sequence[str],
        size: int,
        *,
        per_second: float = 20.0,
        pushes_per_second: float = 0.0,
    ) -> None:
        self.ledger = Ledger()
        self.clients = [CrowdClient(self, number) for number in range(size)]
        self.open = True
        self.loop = asyncio.get_running_loop()
        self._urls = urls
        self._next_url = 0
        self._per_second = per_second
        self._tasks: set[asyncio.Task[None]] = set()
        self._sending: asyncio.Task[None] | None = None
        self._pushing: asyncio.Task[None] | None = None
        self.pusher = Pusher(urls, self._somebody, pushes_per_second) if pushes_per_second else None

    def _somebody(self) -> str:
        """A connection that is open now, as far as its client knows."""
        visitor = random.choice(self.clients)
        return visitor.connection if visitor.connected and not visitor.silent else ""

    def next_url(self) -> str:
        self._next_url += 1
        return self._urls[self._next_url % len(self._urls)]

    def begin(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def connected(self) -> int:
        return sum(visitor.connected for visitor in self.clients)

    def workers(self) -> Counter[str]:
        """How many connections each worker holds."""
        return Counter(visitor.worker for visitor in self.clients if visitor.connected)

    async def everybody(self, within_s: float = 20.0) -> None:
        """Wait until all are connected."""
        async with asyncio.timeout(within_s):
            while self.connected < len(self.clients):  # noqa: ASYNC110 (many conditions)
                await asyncio.sleep(0.01)

    def start_sending(self) -> None:
        self._sending = asyncio.create_task(self._send_on_schedule())
        if self.pusher is not None:
            self._pushing = asyncio.create_task(self.pusher.run())

    async def stop_sending(self, within_s: float = 15.0) -> Ledger:
        """Stop, and wait until everything is answered or its connection closed."""
        self._cancel_schedules()
        if self.pusher is not None:
            self.ledger.receipts = await self.pusher.finish()
        end = self.loop.time() + within_s
        while any(v.unanswered for v in self.clients) and self.loop.time() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        self.ledger.lost += sum(len(v.unanswered) for v in self.clients)
        if self.ledger.receipts is not None:
            await self._judge(self.ledger.receipts, end)
        return self.ledger

    async def _judge(self, receipts: Receipts, end: float) -> None:
        """Give what was written the same time to arrive as answers have."""
        while "written, and never arrived" in receipts.lies(self.connections()):
            if self.loop.time() >= end:
                break
            await asyncio.sleep(0.05)
        self.ledger.lies = receipts.lies(self.connections())

    def connections(self) -> set[str]:
        """Those that are open, as far as their clients know."""
        return {visitor.connection for visitor in self.clients if visitor.connected}

    def _cancel_schedules(self) -> None:
        for task in (self._sending, self._pushing):
            if task is not None:
                task.cancel()

    async def send_for(self, seconds: float) -> None:
        """Let the schedule run: the load of a scenario lasts, whatever happens."""
        await asyncio.sleep(seconds)

    async def _send_on_schedule(self) -> None:
        """Each visitor has its own place in the interval, so that the load is even."""
        interval_s = 1 / self._per_second / len(self.clients)
        start, count = self.loop.time(), 0
        while True:
            due = int((self.loop.time() - start) / interval_s)
            for turn in range(count, due):
                visitor = self.clients[turn % len(self.clients)]
                if not visitor.silent:
                    visitor.send()
            count = due
            await asyncio.sleep(0.002)

    async def __aenter__(self) -> Crowd:
        # A few at a time: the storm of connections is another test's subject.
        for start in range(0, len(self.clients), 50):
            await asyncio.gather(*(v.connect() for v in self.clients[start : start + 50]))
        await self.everybody()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open = False
        self._cancel_schedules()
        if self.pusher is not None:
            await self.pusher.finish()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for visitor in self.clients:
            if visitor.transport is not None:
                visitor.transport.disconnect(graceful=False)
        while any(v.transport is not None for v in self.clients):  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.005)
