"""How handlers are run: one at a time for a connection, in order, a bounded number at once.

A pool of tasks works off the connections that have something to handle. A handler that does not
wait costs no task and no turn of the loop: whoever is awake goes on with the next, for ``STINT_S``.
When one waits, another task has been woken to take over. After a stint the loop turns: renewals,
canaries and sockets have theirs, and whether this worker may still start handlers is asked anew.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Collection
from contextvars import Context, copy_context
from dataclasses import replace
from typing import Final, Protocol

from gateway.errors import HandlerFailed, Refused
from gateway.handlers.isolation import isolated
from gateway.handlers.table import (
    Admit,
    Connection,
    Handlers,
    Message,
    WrongAnswer,
    decision,
    reply,
)
from gateway.log import bind_connection, get_logger
from gateway.metrics import Counters
from gateway.protocol.envelope import (
    Admitted,
    Answer,
    Dispatch,
    DispatchConnect,
    DispatchDisconnect,
    Facts,
    Failed,
    Forget,
    Introduce,
    Reply,
    Turned,
)
from gateway.protocol.ids import ConnectionId, WorkerId

log = get_logger(__name__)

AnyDispatch = Dispatch | DispatchConnect | DispatchDisconnect
CHECKS_PER_LIMIT: Final = 10
LONGEST_CHECK_S: Final = 1.0
STINT_S: Final = 0.01


class Answers(Protocol):
    """Where answers go (``gateway.router``)."""

    def answer(self, edge: WorkerId, answer: Answer) -> None: ...

    def congested(self, edge: WorkerId, connection: str) -> bool: ...


class _Queue:
    """One connection's dispatches at this worker."""

    __slots__ = (
        "cancels", "connection", "context", "dispatches", "edge", "forgotten",
        "parked", "queued", "started_at", "task",
    )  # fmt: skip

    def __init__(self, edge: WorkerId, connection: Connection) -> None:
        self.edge = edge
        self.connection = connection
        self.dispatches: deque[AnyDispatch] = deque()
        self.context: Context | None = None
        self.task: asyncio.Task[None] | None = None  # set while a handler runs
        self.started_at = 0.0
        self.queued = False
        self.parked = False
        self.cancels = 0  # how often what runs was cancelled by us
        self.forgotten = False


class Runner:
    """Runs the handlers of one worker.

    Args:
        seconds: A handler is cancelled after this long.
        concurrency: So many run at once; others wait in the order in which they came.

    Attributes:
        before_stint: Called before handlers are started in a turn of the loop; it may ``hold``.
    """

    def __init__(
        self,
        handlers: Handlers,
        answers: Answers,
        counters: Counters,
        *,
        seconds: float,
        concurrency: int,
        now: Callable[[], float],
    ) -> None:
        self._handlers = handlers
        self._answers = answers
        self._counters = counters
        self._seconds = seconds
        self._concurrency = concurrency
        self._now = now
        self._queues: dict[WorkerId, dict[ConnectionId, _Queue]] = {}
        self._ready: deque[_Queue] = deque()
        self._parked: dict[WorkerId, list[_Queue]] = {}
        self._running: set[_Queue] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._waking = False
        self._workers = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held = False
        self._dispatched_at = now()
        self._ended_at = 0.0  # when the last handler had ended
        self._stint_until = 0.0  # no handler is started in this turn once it is later than that
        self.before_stint: Callable[[], None] = lambda: None
        # Not that of whoever happens to bring the first message: handlers would see what a
        # middleware of the surrounding application has set for one handshake.
        self._context = copy_context()

    # What edges say

    def introduce(self, edge: WorkerId, envelope: Introduce) -> None:
        connection = _connection(envelope.connection, envelope.facts)
        queue = self._queues.setdefault(edge, {}).get(envelope.connection)
        if queue is None:
            self._queues[edge][envelope.connection] = _Queue(edge, connection)
        else:
            queue.connection = connection
            queue.forgotten = False

    def forget(self, edge: WorkerId, envelope: Forget) -> None:
        """Drop what is known of a connection once everything it sent is handled."""
        queue = self._queues.get(edge, {}).get(envelope.connection)
        if queue is not None:
            queue.forgotten = True
            self._drop_if_done(queue)

    def dispatch(self, edge: WorkerId, envelope: AnyDispatch) -> None:
        self._dispatched_at = self._now()
        queue = self._queues.get(edge, {}).get(envelope.connection)
        if queue is None:
            # Edges introduce before they dispatch, on one ordered link: a bug over there.
            log.error("dispatch without introduction", connection_id=envelope.connection)
            number, attempt = envelope.number, envelope.attempt
            failed = Failed(envelope.connection, number, attempt, HandlerFailed.code)
            self._answers.answer(edge, failed)
            return
        queue.dispatches.append(envelope)
        self._enqueue(queue)

    def edge_gone(self, edge: WorkerId) -> None:
        """Nobody waits for these answers any more. What runs may finish; the rest is dropped."""
        for queue in self._queues.pop(edge, {}).values():
            queue.dispatches.clear()
            queue.forgotten = True
        self._parked.pop(edge, None)

    def relieved(self, edge: WorkerId) -> None:
        """Answers to ``edge`` flow again."""
        for queue in self._parked.pop(edge, ()):
            queue.parked = False
            self._enqueue(queue)

    # Holding

    def quiet_for_s(self) -> float:
        """How long ago the last dispatch came in."""
        return self._now() - self._dispatched_at

    @property
    def waking(self) -> bool:
        """Whether handlers will run in the next turn of the loop."""
        return self._waking

    def busy(self, besides: Collection[ConnectionId]) -> bool:
        """Whether anything is running or waits to be run, but for these connections."""
        queues = (queue for queues in self._queues.values() for queue in queues.values())
        waiting = (queue for queue in queues if queue.dispatches)
        return any(
            queue.connection.id not in besides for queue in itertools.chain(self._running, waiting)
        )

    def hold(self) -> None:
        """Start nothing more, until ``release``."""
        self._held = True

    def release(self) -> None:
        self._held = False
        if self._ready:
            self._wake()

    def cancel_all(self) -> None:
        """Others have taken over: stop everything, answer nothing."""
        self.hold()
        for edge in list(self._queues):
            self.edge_gone(edge)
        for queue in self._running:
            _cancel(queue)

    # The pool

    async def run(self) -> None:
        """Run handlers until cancelled."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                if self._ready:
                    self._wake()
                try:
                    await asyncio.get_running_loop().create_future()
                finally:
                    self._tasks = None  # it takes no more, and still waits for those it has
        finally:
            if self._timer is not None:
                self._timer.cancel()

    def _enqueue(self, queue: _Queue) -> None:
        if queue.queued or queue.parked or queue.task is not None or not queue.dispatches:
            return
        queue.queued = True
        self._ready.append(queue)
        self._wake()

    def _wake(self) -> None:
        """See to it that somebody works off ``_ready``. One at a time: it wakes the next itself."""
        if self._waking or self._held or self._tasks is None:
            return
        while self._idle:
            waiter = self._idle.pop()
            if not waiter.done():
                self._waking = True
                waiter.set_result(None)
                return
        if self._workers < self._concurrency:
            self._waking = True
            self._workers += 1
            self._tasks.create_task(
                self._work(), name=f"handlers {self._workers}", context=self._context.copy()
            )

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        while True:
            # Whoever is woken is in a turn of its own: one is woken at a time. A task that goes on
            # after its handler has waited is not, and finds the end of somebody else's stint.
            self._waking = False
            self.before_stint()
            self._stint_until = self._now() + STINT_S
            while self._ready and not self._held:
                queue = self._ready.popleft()
                queue.queued = False
                if self._ready:
                    self._wake()  # should this handler wait, somebody goes on
                await self._take(queue, task)
                if self._ended_at >= self._stint_until:
                    break
            waiter = loop.create_future()
            self._idle.append(waiter)
            if self._ready:
                self._wake()
            await waiter

    async def _take(self, queue: _Queue, task: asyncio.Task[None]) -> None:
        if not queue.dispatches:
            return
        if self._answers.congested(queue.edge, queue.connection.id):
            queue.parked = True
            self._parked.setdefault(queue.edge, []).append(queue)
            return
        dispatch = queue.dispatches.popleft()
        queue.task = task
        queue.started_at = self._now()
        self._running.add(queue)
        if self._timer is None:
            self._check_later()
        try:
            answer = await self._handle(queue, dispatch)
        finally:
            queue.task = None
            self._running.discard(queue)
        self._ended_at = self._now()
        self._counters.handler_seconds.observe(self._ended_at - queue.started_at)
        if self._queues.get(queue.edge, {}).get(dispatch.connection) is queue:
            self._answers.answer(queue.edge, answer)
        self._drop_if_done(queue)
        self._enqueue(queue)

    async def _handle(self, queue: _Queue, dispatch: AnyDispatch) -> Answer:
        connection, number, attempt = dispatch.connection, dispatch.number, dispatch.attempt
        if queue.context is None:
            queue.context = self._context.copy()
            bind_connection(queue.context, connection)
        failed = Failed(connection, number, attempt, HandlerFailed.code)
        answer: Answer = failed
        try:
            answer = await isolated(self._call(queue, dispatch), queue.context.copy())
        except Refused as refused:
            if isinstance(dispatch, DispatchConnect):
                answer = Turned(connection, number, attempt, refused.close_code, refused.reason)
            else:
                log.exception("handler failed", connection_id=connection)
        except asyncio.CancelledError:
            if queue.cancels:
                log.error("handler cancelled", connection_id=connection, after_s=self._seconds)
            elif queue.task is None or queue.task.cancelling():
                raise
            else:  # the handler awaited something that somebody else has cancelled
                log.exception("handler failed", connection_id=connection)
        except WrongAnswer as wrong:
            log.error("handler failed", connection_id=connection, why=str(wrong))
        except (Exception, SystemExit):
            log.exception("handler failed", connection_id=connection)
        if not queue.cancels:
            return answer
        _uncancel(queue)
        return failed

    async def _call(self, queue: _Queue, dispatch: AnyDispatch) -> Answer:
        handlers, connection = self._handlers, queue.connection
        name, number, attempt = dispatch.connection, dispatch.number, dispatch.attempt
        match dispatch:
            case Dispatch(text=text):
                if handlers.on_message is None:
                    return Reply(name, number, attempt, None)
                message = Message(text, connection, f"{name}:{number}", attempt)
                text_back = reply(await handlers.on_message(message), handlers.on_message)
                return Reply(name, number, attempt, text_back)
            case DispatchConnect():
                admit = Admit()
                if handlers.on_connect is not None:
                    admit = decision(await handlers.on_connect(connection), handlers.on_connect)
                until = admit.expires_unix_s
                queue.connection = replace(connection, user=admit.user, expires_at=until)
                return Admitted(name, number, attempt, admit.user, until)
            case DispatchDisconnect():
                if handlers.on_disconnect is not None:
                    await handlers.on_disconnect(connection)
                return Reply(name, number, attempt, None)

    def _drop_if_done(self, queue: _Queue) -> None:
        if queue.forgotten and not queue.dispatches and queue.task is None:
            queues = self._queues.get(queue.edge, {})
            if queues.get(ConnectionId(queue.connection.id)) is queue:
                del queues[ConnectionId(queue.connection.id)]

    # The time limit

    def _check_later(self) -> None:
        wait_s = min(LONGEST_CHECK_S, self._seconds / CHECKS_PER_LIMIT)
        self._timer = asyncio.get_running_loop().call_later(wait_s, self._check)

    def _check(self) -> None:
        self._timer = None
        now = self._now()
        for queue in self._running:
            # Once more for every further limit: a handler may have swallowed its cancellation.
            if now - queue.started_at >= (queue.cancels + 1) * self._seconds:
                _cancel(queue)
        if self._running:
            self._check_later()


def _cancel(queue: _Queue) -> None:
    if queue.task is not None:
        queue.cancels += 1
        queue.task.cancel()


def _uncancel(queue: _Queue) -> None:
    """What was cancelled has ended. Raises CancelledError if the worker stops as well."""
    remaining = 0
    for _ in range(queue.cancels):
        remaining = queue.task.uncancel() if queue.task is not None else 0
    queue.cancels = 0
    if remaining:
        raise asyncio.CancelledError


def _connection(name: ConnectionId, facts: Facts) -> Connection:
    return Connection(
        id=name,
        user=facts.user,
        headers=dict(facts.headers),
        query=facts.query,
        address=facts.address,
        subprotocols=facts.subprotocols,
        expires_at=facts.expires_unix_s,
    )
