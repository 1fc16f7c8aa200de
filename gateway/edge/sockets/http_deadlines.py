"""How long a client of HTTP may make us wait: for a head or a body, and until it takes answers.

uvicorn alone waits for ever for a client that connects and says nothing, that never ends the body
of a request that has its answer, or that does not read its answers: ten thousand of them take every
descriptor of a worker.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Final, Self, cast
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from gateway.edge.sockets.flow_control import ReadFlowControl
from gateway.edge.sockets.request_meter import RequestMeter, RequestState
from gateway.edge.sockets.timer_wheel import NOWHERE, TimerWheel

BODY_S: Final = 60.0  # without a byte of a body that is waited for
_TICKS: Final = 20  # in the shortest deadline


class _Deadline(Enum):
    """What has a deadline."""

    NONE = auto()
    HEAD = auto()
    UNWANTED_BODY = auto()  # the rest of one whose request has its answer
    BODY = auto()
    WRITE = auto()  # of anything that was written


_timers: WeakKeyDictionary[ServerState, TimerWheel] = WeakKeyDictionary()
"""What the connections of one server have in common."""


class HttpDeadlines(HttpToolsProtocol):
    """The part of ``GatewayHttp`` that ends a connection whose client makes it wait too long.

    Attributes:
        head_s: The first head must be complete so long after connecting, any other so long after it
            began, and so must the rest of a body whose request has its answer.
        stall_s: For a client to take anything of what was written.
        body_s: For a client to send anything of a body.
    """

    head_s = 10.0
    stall_s = 10.0
    body_s = BODY_S

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        timers = _timers.get(self.server_state)
        if timers is None:
            shortest_s = min(self.head_s, self.stall_s, self.body_s)
            timers = _timers[self.server_state] = TimerWheel(shortest_s / _TICKS)
        self._timers = timers
        self._meter = RequestMeter()
        self._deaf = False  # nothing more is read
        self._deadline = _Deadline.NONE
        self._unsent_bytes = 0
        self._slot = NOWHERE

    @classmethod
    def within(cls, head_s: float, stall_s: float = stall_s) -> type[Self]:
        """The same class with these deadlines."""
        return type(cls.__name__, (cls,), {"head_s": head_s, "stall_s": stall_s})

    @property
    def _flow(self) -> ReadFlowControl:
        return cast(ReadFlowControl, self.flow)

    def _begin_waiting(self) -> None:
        """It is connected: for its first head."""
        self._put(_Deadline.HEAD, self.head_s)

    def _end_waiting(self) -> None:
        self._put(_Deadline.NONE, None)

    def due(self, slot: int) -> None:
        if slot != self._slot:
            return
        self._slot = NOWHERE
        if self._deadline is _Deadline.WRITE:
            self._deadline = _Deadline.NONE
            unsent = self.transport.get_write_buffer_size()
            if unsent < self._unsent_bytes:
                self._wait()
                return
        self.transport.abort()

    def _wait(self) -> None:
        """Put the deadline for what is awaited now."""
        closing = self.transport.is_closing()
        if self.flow.write_paused or (closing and self.transport.get_write_buffer_size()):
            if self._deadline is not _Deadline.WRITE:
                self._unsent_bytes = self.transport.get_write_buffer_size()
                self._put(_Deadline.WRITE, self.stall_s)
        elif closing or self._deaf:
            self._put(_Deadline.NONE, None)
        elif self._meter.state is RequestState.HEAD:
            if self._deadline is not _Deadline.HEAD:
                self._put(_Deadline.HEAD, self.head_s)
        elif self._meter.state is RequestState.BODY and self.cycle and self.cycle.response_complete:
            # The rest of a body that nobody wants, in the time of a head: each byte of it ends
            # uvicorn's keep-alive timer, and nothing would start it again.
            if self._deadline is not _Deadline.UNWANTED_BODY:
                self._put(_Deadline.UNWANTED_BODY, self.head_s)
        elif self._meter.state is RequestState.BODY and not self.flow.read_paused:
            self._put(_Deadline.BODY, self.body_s)
        elif self._deadline is not _Deadline.HEAD or self.cycle is not None:
            self._put(_Deadline.NONE, None)

    def _put(self, deadline: _Deadline, after_s: float | None) -> None:
        timers = self._timers
        if self._slot != NOWHERE:
            timers.take(self, self._slot)
        self._deadline = deadline
        self._slot = timers.put(self, after_s) if after_s is not None else NOWHERE
