"""Loads that are not an echo: pushes from a backend, connecting, and a client that never reads."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any, Final
from urllib.parse import urlsplit

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport

from benchmarks.talking import ANSWERED_WITHIN_S, AT_ONCE, LINGER_S, Window, opened
from tests.support.pusher import Channel

SLOW_TEXT_BYTES: Final = 16_384
SLOW_PER_S: Final = 100
SLOW_QUEUED_BYTES: Final = 1 << 20


class PushedTo(WSListener):
    """A client of ``benchmarks.push_application``: learns its id, then gets pushes."""

    def __init__(self) -> None:
        self.connection: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.got: Counter[str] = Counter()
        self.transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.send(WSMsgType.TEXT, b"who am I?")

    def on_ws_frame(self, _transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.TEXT:
            return
        text = frame.get_payload_as_utf8_text()
        if self.connection.done():
            self.got[text] += 1
        else:
            self.connection.set_result(text)


class Crowd:
    """Clients that are pushed to. ``asked`` is the port that takes the requests."""

    def __init__(self, clients: list[PushedTo], asked: int, size_bytes: int) -> None:
        self._clients = clients
        self._asked = asked
        self._size_bytes = size_bytes
        self._sent: list[Counter[str]] = [Counter() for _ in clients]
        self._faults: Counter[str] = Counter()
        self._serial = 0

    @classmethod
    async def connected(cls, job: dict[str, Any]) -> Crowd:
        clients: list[PushedTo] = []
        while len(clients) < job["connections"]:
            some = range(len(clients), min(len(clients) + AT_ONCE, job["connections"]))
            clients += await asyncio.gather(
                *(opened(job["urls"][0], number, PushedTo) for number in some)
            )
        async with asyncio.timeout(ANSWERED_WITHIN_S):
            await asyncio.gather(*(client.connection for client in clients))
        return cls(clients, urlsplit(job["urls"][-1]).port or 80, job["size_bytes"])

    async def pushed_to(self, window: Window, at_once: int) -> dict[str, Any]:
        await asyncio.gather(*(self._push(window) for _ in range(at_once)))
        await asyncio.sleep(LINGER_S)
        for number, (client, sent) in enumerate(zip(self._clients, self._sent, strict=True)):
            self._judge(number, sent, client.got)
            client.transport.send_close(WSCloseCode.OK)
        return {"took_us": dict(window.took_us), "faults": dict(self._faults)}

    async def _push(self, window: Window) -> None:
        channel = await Channel.open(self._asked)
        while (began := time.monotonic()) < window.end:
            self._serial += 1
            number = self._serial % len(self._clients)
            text = f"{number}:{self._serial}:".ljust(self._size_bytes, "x")
            connection = self._clients[number].connection.result()
            status = await channel.post(f"/@connections/{connection}", text)
            if status == 200:
                self._sent[number][text] += 1
                window.answered(began, time.monotonic())
            else:
                self._faults[f"answered with {status}"] += 1
        channel.close()

    def _judge(self, number: int, sent: Counter[str], got: Counter[str]) -> None:
        self._faults["lost"] += len(sent.keys() - got.keys())
        self._faults["doubled"] += sum(count > 1 for count in got.values())
        self._faults["misrouted"] += sum(not text.startswith(f"{number}:") for text in got)
        self._faults = +self._faults


class StormClient(WSListener):
    """Comes and goes. It can only go when its server has said good-bye."""

    def __init__(self) -> None:
        self.transport: WSTransport

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()


async def open_and_close(job: dict[str, Any], window: Window) -> dict[str, Any]:
    """``at_once`` clients that open and close again and again, ``per_s`` in all (0: no limit).

    A handshake that fails makes a run void, but not where it is only there to disturb others.
    """
    refused: Counter[str] = Counter()
    start, opens = time.monotonic(), 0

    async def one() -> None:
        nonlocal opens
        while (began := time.monotonic()) < window.end:
            opens += 1
            if job["per_s"] and (wait := start + opens / job["per_s"] - began) > 0:
                await asyncio.sleep(wait)
                began = time.monotonic()
            url = job["urls"][opens % len(job["urls"])]
            try:
                visitor = await opened(url, opens, StormClient)
                window.answered(began, time.monotonic())
                visitor.transport.send_close(WSCloseCode.OK)
                async with asyncio.timeout(ANSWERED_WITHIN_S):
                    await visitor.transport.wait_disconnected()
            except (WSError, OSError, TimeoutError) as error:
                refused[f"refused: {type(error).__name__}"] += 1

    await asyncio.gather(*(one() for _ in range(job["at_once"])))
    if not job["disturbs"]:
        return {"took_us": dict(window.took_us), "faults": dict(refused)}
    notes = f"{opens / (window.end - start):.0f} handshakes/s of {job['per_s']:.0f} wanted"
    notes += f", {sum(refused.values())} refused"
    return {"took_us": {}, "faults": {}, "notes": notes}


class Deaf(WSListener):
    """Reads nothing from the moment it is connected."""

    def __init__(self) -> None:
        self.transport: WSTransport
        self.gone = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        transport.underlying_transport.pause_reading()

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self.gone = True


async def read_nothing(job: dict[str, Any], window: Window) -> dict[str, Any]:
    """One that asks for much and reads nothing; when it is thrown out it comes again."""
    text, said, came = b"x" * SLOW_TEXT_BYTES, 0, 0
    deaf: Deaf | None = None
    while time.monotonic() < window.end:
        if deaf is None or deaf.gone:
            deaf = await opened(job["urls"][0], came, Deaf)
            came += 1
        assert deaf is not None
        if deaf.transport.underlying_transport.get_write_buffer_size() < SLOW_QUEUED_BYTES:
            deaf.transport.send(WSMsgType.TEXT, text)
            said += 1
        await asyncio.sleep(1 / SLOW_PER_S)
    if deaf is not None:
        deaf.transport.disconnect()
    notes = f"{said} texts of {SLOW_TEXT_BYTES} bytes said and none read; connected {came} times"
    return {"took_us": {}, "faults": {}, "notes": notes}
