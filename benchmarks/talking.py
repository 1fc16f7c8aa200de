"""Clients that talk and check every answer: as fast as answers come, or on a schedule."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.dialects import DIALECTS, Conversation

ANSWERED_WITHIN_S: Final = 10.0
LINGER_S: Final = 0.3  # for what comes twice
AT_ONCE: Final = 50  # no queue of the kernel's overflows
SOURCES: Final = 8  # 127.0.0.x: one address has 28,000 ports


@dataclass
class Window:
    """When answers count, in monotonic seconds, and how long they took."""

    begin: float = float("inf")
    end: float = float("inf")
    answered_within_s: float = ANSWERED_WITHIN_S  # after the end
    took_us: Counter[int] = field(default_factory=Counter)

    def answered(self, since: float, now: float) -> None:
        if self.begin <= now < self.end:
            self.took_us[round((now - since) * 1e6)] += 1


class Talker(WSListener):
    """One client on one socket."""

    def __init__(self, conversation: Conversation, window: Window, *, greets: bool) -> None:
        self.conversation = conversation
        self.open = asyncio.Event()
        self.closed = False
        self.transport: WSTransport
        self.closed_loop = False
        self.heard = b""
        self.due: deque[float] = deque()  # when it should have spoken, but was waiting
        self._window = window
        self._greets = greets
        self._since = 0.0

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if not self._greets:
            self.open.set()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type is not WSMsgType.TEXT:
            return
        answer = frame.get_payload_as_bytes()
        if self._greets and answer[:2] != b"42":
            self._greet(answer)
        elif self.conversation.take(answer):
            now = time.monotonic()
            self._window.answered(self._since, now)
            if self.closed_loop and now < self._window.end:
                self.say(now)
            elif self.due:
                self.say(self.due.popleft())

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self.closed = True

    def say(self, since: float) -> None:
        """Say the next text. Its time counts from ``since``."""
        self._since = since
        self.transport.send(WSMsgType.TEXT, self.conversation.next())

    def say_on_schedule(self, since: float) -> None:
        """As ``say``; while an answer is awaited it waits, and its time counts all the same."""
        if self.conversation.awaiting:
            self.due.append(since)
        else:
            self.say(since)

    def _greet(self, text: bytes) -> None:
        """Engine.IO: its open packet (0), Socket.IO's connect (40), and pings (2)."""
        if text[:1] == b"0":
            self.transport.send(WSMsgType.TEXT, b"40")
        elif text[:2] == b"40":
            self.open.set()
        elif text == b"2":
            self.transport.send(WSMsgType.TEXT, b"3")


async def opened(url: str, number: int, listener: Callable[[], WSListener]) -> Any:
    """One connection. Clients have several source addresses, for more of them than ports."""
    _, made = await ws_connect(
        listener,
        url.replace("{client}", f"client-{number}"),
        local_addr=(f"127.0.0.{1 + number % SOURCES}", 0),
        websocket_handshake_timeout=ANSWERED_WITHIN_S,
    )
    return made


async def connected(job: dict[str, Any], window: Window) -> list[Talker]:
    """All clients of a job, a few at a time."""
    dialect = DIALECTS[job["dialect"]]

    async def one(number: int) -> Talker:
        conversation = Conversation(number, job["size_bytes"], job["dialect"])
        url = job["urls"][number % len(job["urls"])]
        made: Talker = await opened(
            url, number, lambda: Talker(conversation, window, greets=dialect.greets)
        )
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await made.open.wait()
        return made

    talkers: list[Talker] = []
    numbers = range(job["first"], job["first"] + job["connections"])
    for start in range(0, len(numbers), AT_ONCE):
        some = numbers[start : start + AT_ONCE]
        talkers += await asyncio.gather(*(one(number) for number in some))
    return talkers


async def talk(talkers: list[Talker], window: Window, per_s: float) -> dict[str, Any]:
    """Talk until the window ends, and hear everybody out.

    Args:
        per_s: Texts a second of all clients; 0: each speaks as soon as it is answered.
    """
    if per_s:
        await _on_schedule(talkers, window, per_s)
    else:
        for talker in talkers:
            talker.closed_loop = True
            talker.say(time.monotonic())
        await asyncio.sleep(max(0.0, window.end - time.monotonic()))
    return await hear_out(talkers, window)


async def _on_schedule(talkers: list[Talker], window: Window, per_s: float) -> None:
    start, said = time.monotonic(), 0
    while (now := time.monotonic()) < window.end:
        for number in range(said, int((now - start) * per_s)):
            talkers[number % len(talkers)].say_on_schedule(start + number / per_s)
        said = int((now - start) * per_s)
        await asyncio.sleep(0.002)


async def hear_out(talkers: list[Talker], window: Window) -> dict[str, Any]:
    """Wait for the last answers and what should not come, hang up, and sum up."""
    deadline = time.monotonic() + window.answered_within_s
    while time.monotonic() < deadline and any(t.conversation.awaiting for t in talkers):
        if all(t.closed for t in talkers):
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(LINGER_S)
    faults: Counter[str] = Counter()
    for talker in talkers:
        talker.conversation.end()
        if talker.closed:
            talker.conversation.count("closed")
        faults.update(talker.conversation.faults)
        if not talker.closed:
            talker.transport.send_close(WSCloseCode.OK)
    return {"took_us": dict(window.took_us), "faults": dict(faults)}
