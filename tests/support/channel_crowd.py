"""Many subscribers of the Centrifuge protocol that reconnect and recover as its SDKs do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, cast

import msgspec
from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tests.support.centrifuge_messages import (
    Message,
    Pub,
    Push,
    Subscribed,
    read_messages,
    read_pushes,
)
from tests.support.channel_ledger import ChannelLedger, Reading

PATH = "/connection/websocket"
RETRY_S = 0.5  # what the SDKs begin with, both for connecting and for subscribing
MAX_RETRY_S = 4.0


class Subscriber(WSListener):
    """One client: one socket at a time, subscribed to the same channels through all of them."""

    def __init__(self, crowd: ChannelCrowd, number: int, channels: Sequence[str]) -> None:
        self.crowd = crowd
        self.number = number
        self.readings = {channel: crowd.ledger.reading(channel) for channel in channels}
        self.client = ""
        self.port = 0
        self.transport: WSTransport | None = None
        self.close_code = 0
        self.insufficient_at = 0.0
        self.joined: list[str] = []
        self.left: list[str] = []
        self._asked: dict[int, str] = {}
        self._ids = 0
        self._attempt = 0

    @property
    def live(self) -> bool:
        """Whether it is connected, and in all its channels."""
        return bool(self.client) and not any(r.unsubscribed for r in self.readings.values())

    def say(self, *commands: dict[str, Any]) -> None:
        if self.transport is not None:
            self.transport.send(WSMsgType.TEXT, b"\n".join(map(msgspec.json.encode, commands)))

    # The socket

    async def connect(self, delay_s: float = 0.0) -> None:
        """Connect, and try again until it works."""
        while self.crowd.open:
            await asyncio.sleep(delay_s)
            self.port = self.crowd.next_port()
            try:
                await ws_connect(
                    lambda: self,
                    f"ws://127.0.0.1:{self.port}{PATH}",
                    websocket_handshake_timeout=5,
                )
            except (WSError, OSError, TimeoutError):
                self.crowd.ledger.refused += 1
            else:
                return
            delay_s = self._backoff()

    def _backoff(self) -> float:
        self._attempt += 1
        return backoff_s(self._attempt)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.close_code = cast(int, WSCloseCode.ABNORMAL_CLOSURE)
        self._asked.clear()
        self.say({"id": self._next_id(), "connect": {}})

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_code = cast(int, frame.get_close_code())
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type == WSMsgType.TEXT:
            payload = frame.get_payload_as_bytes()
            read = read_pushes if payload.startswith(b'{"push"') else read_messages
            for message in read(payload):
                if message.push is not None:
                    self._pushed(message.push)
                else:
                    self._answered(message)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.transport = None
        self.client = ""
        for reading in self.readings.values():
            reading.unsubscribed = True
        self.crowd.ledger.closes[int(self.close_code)] += 1
        terminal = 3500 <= self.close_code < 4000 or 4500 <= self.close_code < 5000
        if self.crowd.open and not terminal:
            self.crowd.begin(self.connect(self._backoff()))

    # What is said

    def _pushed(self, push: Push) -> None:
        reading = self.readings.get(push.channel)
        if reading is None:
            self.crowd.ledger.wrong["of a channel it may not have"] += 1
        elif push.pub is not None:
            if reading.unsubscribed:
                self.crowd.ledger.wrong["while unsubscribed"] += 1
            delays_s = self.crowd.ledger.delays_s
            if delays_s is not None:
                delays_s.append(self.crowd.loop.time() - push.pub.data.t)
            self._took(reading, push.pub)
        elif push.join is not None:
            self.joined.append(push.join.info.client)
        elif push.leave is not None:
            self.left.append(push.leave.info.client)
        elif push.unsubscribe is not None:
            ledger = self.crowd.ledger
            ledger.ends[push.unsubscribe.code] += 1
            ledger.ended_at.append(self.crowd.loop.time())
            self.insufficient_at = ledger.ended_at[-1]
            reading.unsubscribed = True
            if push.unsubscribe.code >= 2500:
                self.crowd.loop.call_soon(self._subscribe, push.channel)

    def _took(self, reading: Reading, pub: Pub) -> None:
        if pub.data.c != reading.channel:
            self.crowd.ledger.wrong["of another channel"] += 1
        reading.took(pub.offset, pub.data.n)

    def _answered(self, message: Message) -> None:
        if message.connect is not None:
            self.client = message.connect.client
            self._attempt = 0
            for channel in self.readings:
                self._subscribe(channel)
        elif not message.id:
            self.say({})  # a ping
        elif channel := self._asked.pop(message.id, ""):
            if message.subscribe is not None:
                self._subscribed(self.readings[channel], message.subscribe)
            elif message.error is not None:
                self.crowd.ledger.errors[message.error.code] += 1
                again_s = self._backoff()
                self.crowd.loop.call_later(again_s, self._subscribe, channel)

    def _subscribe(self, channel: str) -> None:
        if self.transport is None or not self.client or channel in self._asked.values():
            return
        epoch, offset = self.readings[channel].place
        wish: dict[str, Any] = {"channel": channel, **self.crowd.wish}
        if epoch:
            wish |= {"recover": True, "epoch": epoch, "offset": offset}
        number = self._next_id()
        self._asked[number] = channel
        self.say({"id": number, "subscribe": wish})

    def _subscribed(self, reading: Reading, result: Subscribed) -> None:
        self._attempt = 0
        reading.subscribed(
            (result.epoch, result.offset), recovered=result.recovered, now=self.crowd.loop.time()
        )
        for pub in result.publications:
            self._took(reading, pub)

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids


def backoff_s(attempt: int) -> float:
    """Full jitter above the least delay, as the SDKs have it."""
    return min(MAX_RETRY_S, RETRY_S + random.uniform(0.0, RETRY_S * 2.0 ** (attempt - 1)))


class ChannelCrowd:
    """Subscribers, each of the channels that ``channels_of`` names for its number.

    An async context manager: all are live when it is entered, and all leave at its end.

    Args:
        ports: Where they connect, in turn; where one is refused it tries the next.
        wish: What they ask for with each subscribe.
    """

    def __init__(
        self,
        ports: Sequence[int],
        size: int,
        channels_of: Callable[[int], Sequence[str]],
        *,
        ledger: ChannelLedger | None = None,
        **wish: bool,
    ) -> None:
        self.ledger = ledger or ChannelLedger()
        self.loop = asyncio.get_running_loop()
        self.open = True
        self.wish = wish
        self.ports = list(ports)
        self._turn = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.clients = [Subscriber(self, n, channels_of(n)) for n in range(size)]

    def next_port(self) -> int:
        self._turn += 1
        return self.ports[self._turn % len(self.ports)]

    def begin(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @property
    def live(self) -> int:
        return sum(client.live for client in self.clients)

    def at(self, port: int) -> list[Subscriber]:
        """Those that are connected there."""
        return [c for c in self.clients if c.port == port and c.client]

    async def everybody(self, within_s: float = 20.0) -> None:
        """Wait until all are live."""
        await self._until(lambda: self.live == len(self.clients), within_s, "live")

    async def caught_up(self, within_s: float = 10.0) -> None:
        """Wait until all are live, and have whatever was published; then look no longer."""

        def done() -> bool:
            return self.live == len(self.clients) and not self.ledger.balance().lost

        await self._until(done, within_s, "live and up to date", every_s=0.1, strict=False)

    async def _until(
        self,
        check: Callable[[], bool],
        within_s: float,
        what: str,
        *,
        every_s: float = 0.02,
        strict: bool = True,
    ) -> None:
        end = self.loop.time() + within_s
        while not check():
            if self.loop.time() > end:
                assert not strict, f"{self.live} of {len(self.clients)} are {what}"
                return
            await asyncio.sleep(every_s)

    async def __aenter__(self) -> ChannelCrowd:
        for start in range(0, len(self.clients), 50):
            await asyncio.gather(*(c.connect() for c in self.clients[start : start + 50]))
        await self.everybody()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.open = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in self.clients:
            if client.transport is not None:
                client.transport.disconnect(graceful=False)
        while any(c.transport is not None for c in self.clients):  # noqa: ASYNC110 (many)
            await asyncio.sleep(0.005)
