"""Connections that send, on wires that take bytes when they are told to, in one channel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.channels.fan_out import FanOut
from gateway.channels.local_channel import LocalChannel
from gateway.channels.subscriber import Encoding
from gateway.edge.sending import Sending
from gateway.messaging.hub import Hub
from gateway.metrics import Counters
from gateway.protocol.channel_messages import PublicationBody, encode
from gateway.protocol.frames import text_frames
from gateway.protocol.ids import ConnectionId
from gateway.protocol.recovery import Publication
from gateway.protocol.run import Run
from gateway.protocol.write_group import WriteGroup

OUTBOX_BYTES = 200


class Wire:
    """A ``Socket``, and the kernel below it, which takes all bytes or those there is room for.

    Attributes:
        room: For so many bytes; None is for any.
        stream: What was written.
        writes: How many times.
    """

    def __init__(self, descriptor: int) -> None:
        self.stream = bytearray()
        self.room: int | None = None
        self.writes = 0
        self.buffered_bytes = 0
        self.written_bytes = 0
        self.takes_writes = True
        self.aborted = False
        self.plain = True
        self._descriptor = descriptor
        self._back: Callable[[], None] | None = None

    @property
    def texts(self) -> list[bytes]:
        """What was written, message by message."""
        found, rest = [], bytes(self.stream)
        while rest:
            head = 4 if rest[1] == 126 else 2
            size = int.from_bytes(rest[2:4], "big") if head == 4 else rest[1]
            found.append(rest[head : head + size])
            assert rest[:head] + found[-1] == text_frames(found[-1:])
            rest = rest[head + size :]
        return found

    def write(self, payloads: Sequence[bytes]) -> None:
        self._put(text_frames(payloads))

    def write_freely(self, payloads: Sequence[bytes]) -> bool:
        if self.buffered_bytes or not self.takes_writes:
            return False
        self.write(payloads)
        return True

    def write_runs(self, runs: Sequence[Run]) -> None:
        self._put(b"".join(run.framed for run in runs))

    def write_at_once(self, run: Run) -> bool:
        if self.buffered_bytes or not self.takes_writes:
            return False
        self.write_runs([run])
        return True

    def write_rest(self, run: Run, taken: int) -> None:
        self._put(run.framed[taken:])

    def lend(self, back: Callable[[], None]) -> int | None:
        assert not self.buffered_bytes
        self._back = back if self.plain else None
        return self._descriptor if self.plain else None

    def write_by_descriptor(self, data: bytes) -> int:
        assert self._back is not None, "not lent"
        assert self.takes_writes, "after the end"
        taken = self._take(len(data))
        if not taken:
            raise BlockingIOError
        self.stream += data[:taken]
        self.writes += 1
        return taken

    def drain(self) -> None:
        """The peer reads everything."""
        self.buffered_bytes, self.room = 0, None

    def _put(self, data: bytes) -> None:
        self.stream += data
        self.writes += 1
        self.written_bytes += len(data)
        self.buffered_bytes += len(data) - (0 if self.buffered_bytes else self._take(len(data)))
        if self.buffered_bytes:
            self.take_back()

    def _take(self, size: int) -> int:
        if self.room is None:
            return size
        taken = min(size, self.room)
        self.room -= taken
        return taken

    def take_back(self) -> None:
        back, self._back = self._back, None
        if back is not None:
            back()

    def abort(self) -> None:
        self.take_back()
        self.aborted = True


class Session:
    def push(self, text: str) -> bytes:
        return text.encode()


class Sender(Sending):
    """The part of a connection that sends, and its own ``Subscriber``."""

    encoding = Encoding.TEXT

    def __init__(self, edge: Any, number: int) -> None:
        self.wire = Wire(number)
        super().__init__(edge, Session(), self.wire)  # type: ignore[arg-type]  # what it uses of them
        self.id = ConnectionId(str(number))
        self.given: list[bytes] = []
        self.closed: tuple[int, str] | None = None
        self.deliver: Any = self.send_run

    @property
    def sent(self) -> int:
        return self._sent()[0]

    def on_close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.wire.takes_writes = False
        self._outbox.discard()
        self.wire.take_back()


def _untold(_channel: str, _kind: object, _info: object) -> None:
    """Of who joins and leaves."""


def unasked(_: object) -> None:
    raise AssertionError("asked")


class Stand:
    """Connections of one worker. The loop's turns are taken by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, count: int = 3) -> None:
        self._soon: deque[Callable[[], None]] = deque()
        loop = SimpleNamespace(call_soon=self._soon.append)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        self.counters = Counters()
        self.edge = SimpleNamespace(
            hub=Hub(),
            counters=self.counters,
            now=lambda: 0.0,
            limits=SimpleNamespace(outbox_bytes=OUTBOX_BYTES, stall_s=10.0),
        )
        self.senders = [Sender(self.edge, number) for number in range(count)]
        self.channel = LocalChannel("news", None, now=0.0)
        subscribers: Any = {sender.id: sender for sender in self.senders}
        self.channel.subscribers.update(subscribers)
        self.channel.machine.others.update(dict.fromkeys(self.channel.subscribers))
        self._fan_out = FanOut(self.counters, self.edge.hub)
        self._fan_out.register(Encoding.TEXT, lambda _channel, _offset, body: body.data, _untold)
        monkeypatch.setattr("gateway.channels.fan_out.os", SimpleNamespace(write=self._write))

    def publish(self, *texts: bytes) -> None:
        """They come by one read, with nothing else."""
        bodies = [Publication(0, encode(PublicationBody(text))) for text in texts]
        self._fan_out.at_once(self.channel, bodies)

    def _write(self, descriptor: int, data: bytes) -> int:
        return self.senders[descriptor].wire.write_by_descriptor(data)

    @property
    def group(self) -> WriteGroup:
        return self.channel.groups[Encoding.TEXT]

    @property
    def asked(self) -> int:
        """How many calls the loop was asked for."""
        return len(self._soon)

    def loop(self, what: str) -> None:
        """What those do that deliver, and the loop: nothing is gathered beyond a turn."""
        hub = self.edge.hub
        if what == "gather":
            hub.gather()
            return
        hub.flush_gathered()
        if what == "turn":
            self.turn()

    def turn(self) -> None:
        while self._soon:
            self._soon.popleft()()
