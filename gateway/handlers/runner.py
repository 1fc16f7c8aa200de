"""How handlers are run: one at a time for a connection, in order, a bounded number at once.

A pool of tasks works off the connections that have something to handle. A handler that does not
wait costs no task and no turn of the loop: whoever is awake goes on with the next, for ``RUN_S``.
When one waits, another task has been woken to take over. After a run the loop turns: renewals,
probes and sockets have theirs, and whether this worker may still start handlers is asked anew.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Collection, Coroutine
from contextvars import copy_context
from types import CoroutineType
from typing import Any, Final, Protocol

from gateway.errors import HandlerFailed
from gateway.handlers.definitions import Handlers, of_facts
from gateway.handlers.invocation import Invocation
from gateway.handlers.queue import AnyDispatch, Queue, QueueState
from gateway.handlers.unsendable import unsendable
from gateway.log import get_logger
from gateway.metrics import Counters
from gateway.protocol.envelopes.dispatching import Answer, Failed, Forget, Introduce
from gateway.protocol.ids import ConnectionId, WorkerId

log = get_logger(__name__)

# Looked up once: for every message, it would be felt.
_IDLE: Final = QueueState.IDLE
_READY: Final = QueueState.READY
_RUNNING: Final = QueueState.RUNNING
CHECKS_PER_LIMIT: Final = 10
LONGEST_CHECK_S: Final = 1.0
RUN_S: Final = 0.01


class Answers(Protocol):
    """Where answers go (``gateway.messaging.link_transport``)."""

    @property
    def crowded(self) -> Collection[WorkerId]: ...

    def answer(self, edge: WorkerId, answer: Answer) -> str | None: ...

    def congested(self, edge: WorkerId, connection: str) -> bool: ...


class Runner:
    """Runs the handlers of one worker.

    Args:
        seconds: A handler is cancelled after this long.
        concurrency: So many run at once; others wait in the order in which they came.
        invocation: Makes what calls the handlers.

    Attributes:
        before_run: Called before handlers are started in a turn of the loop; it may ``hold``.
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
        invocation: Callable[..., Invocation] = Invocation,
    ) -> None:
        self._answers = answers
        self._counters = counters
        self._seconds = seconds
        self._concurrency = concurrency
        self._now = now
        self._queues: dict[WorkerId, dict[ConnectionId, Queue]] = {}
        self._ready: deque[Queue] = deque()
        self._parked: dict[WorkerId, list[Queue]] = {}
        self._running: set[Queue] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._waking = False
        self._workers = 0
        self._tasks: asyncio.TaskGroup | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._held = False
        self._dispatched_at = now()
        self._ended_at = 0.0  # when the last handler had ended
        self._run_until = 0.0  # no handler is started in this turn once it is later than that
        self.before_run: Callable[[], None] = lambda: None
        # Not that of whoever happens to bring the first message: handlers would see what a
        # middleware of the surrounding application has set for one handshake.
        self._context = copy_context()
        self._invocation = invocation(
            handlers, seconds=seconds, context=self._context, ends=self._ends
        )

    # What edges say

    def introduce(self, edge: WorkerId, envelope: Introduce) -> None:
        connection = of_facts(envelope.connection, envelope.facts)
        queue = self._queues.setdefault(edge, {}).get(envelope.connection)
        if queue is None:
            self._queues[edge][envelope.connection] = Queue(edge, connection)
        else:
            queue.connection = connection
            queue.forgotten = False

    def forget(self, edge: WorkerId, envelope: Forget) -> None:
        """Drop what is known of a connection once everything it sent is handled."""
        queue = self._queues.get(edge, {}).get(envelope.connection)
        if queue is not None:
            queue.forgotten = True
            if queue.state is _IDLE:
                self._drop(queue)

    def dispatch(self, edge: WorkerId, envelope: AnyDispatch) -> None:
        self._dispatched_at = self._now()
        queues = self._queues.get(edge)
        queue = None if queues is None else queues.get(envelope.connection)
        if queue is None:
            # Edges introduce before they dispatch, on one ordered link: a bug over there.
            log.error("dispatch without introduction", connection_id=envelope.connection)
            number, attempt = envelope.number, envelope.attempt
            failed = Failed(envelope.connection, number, attempt, HandlerFailed.code)
            self._answers.answer(edge, failed)
            return
        queue.dispatches.append(envelope)
        if queue.state is _IDLE:
            self._enqueue(queue)

    def edge_gone(self, edge: WorkerId) -> None:
        """Nobody waits for these answers any more. What runs may finish; the rest is dropped."""
        for queue in self._queues.pop(edge, {}).values():
            queue.dispatches.clear()
            queue.forgotten = queue.unwanted = True
        self._parked.pop(edge, None)

    def relieved(self, edge: WorkerId) -> None:
        """Answers to ``edge`` flow again."""
        for queue in self._parked.pop(edge, ()):
            self._enqueue(queue)

    # Holding

    def quiet_for_s(self) -> float:
        """How long ago the last dispatch came in."""
        return self._now() - self._dispatched_at

    @property
    def running(self) -> int:
        """How many handlers have begun and not ended."""
        return len(self._running)

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

    def at_work(self, loop: asyncio.AbstractEventLoop) -> tuple[WorkerId, AnyDispatch] | None:
        """What a handler is at that holds ``loop`` now, and for whom.

        For a thread that looks on while the loop is held: nothing moves meanwhile. None also when
        what holds it is no handler, or a task that one has begun.
        """
        holding = asyncio.current_task(loop)
        for queue in tuple(self._running):
            if queue.task is holding and holding is not None and queue.running is not None:
                return queue.edge, queue.running
        return None

    def cancel_all(self) -> None:
        """Others have taken over: stop everything, answer nothing."""
        self.hold()
        for edge in list(self._queues):
            self.edge_gone(edge)
        for queue in self._running:
            queue.cancel()

    # The pool

    def _ends(self) -> bool:
        """Whether ``run`` ends: who is cancelled then is to end. Before, only a handler is."""
        return self._tasks is None

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

    def _enqueue(self, queue: Queue) -> None:
        """It has something to be handled, and nothing else to wait for."""
        queue.state = _READY
        self._ready.append(queue)
        if not self._waking:
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
        while self._tasks is not None:
            # Whoever is woken is in a turn of its own: one is woken at a time. A task that goes on
            # after its handler has waited is not, and finds the end of somebody else's run.
            self._waking = False
            self.before_run()
            self._ended_at = self._now()
            self._run_until = self._ended_at + RUN_S
            while self._ready and not self._held:
                queue = self._ready.popleft()
                if self._ready and not self._waking:
                    self._wake()  # should this handler wait, somebody goes on
                if (handling := self._take(queue, task)) is not None:
                    await handling
                if self._ended_at >= self._run_until:
                    break
            woken = False
            while not woken:
                waiter = loop.create_future()
                self._idle.append(waiter)
                if self._ready:
                    self._wake()
                try:
                    await waiter
                except asyncio.CancelledError:
                    await self._uncancel(task)  # which raises it if that was the end
                woken = not waiter.cancelled()

    async def _uncancel(self, task: asyncio.Task[None]) -> None:
        """A handler that has ended has cancelled the task in which it ran, or has left it so.

        Nobody else is to notice: the next handler would be cancelled in its place, or the pool have
        one task less.
        """
        if self._tasks is None:
            raise asyncio.CancelledError
        while task.cancelling():
            task.uncancel()
        try:
            await asyncio.sleep(0)  # one that is still to come comes here
        except asyncio.CancelledError:
            if self._tasks is None:
                raise

    def _take(self, queue: Queue, task: asyncio.Task[None]) -> Coroutine[Any, Any, None] | None:
        """Have the next of ``queue`` handled. Returns what is to be awaited, if anything is."""
        if not queue.dispatches:  # its edge has gone
            queue.state = _IDLE
            return None
        edge, answers = queue.edge, self._answers
        if edge in answers.crowded and answers.congested(edge, queue.connection.id):
            queue.state = QueueState.PARKED
            self._parked.setdefault(edge, []).append(queue)
            return None
        dispatch = queue.dispatches.popleft()
        queue.state = _RUNNING
        queue.task = task
        queue.running = dispatch
        queue.started_at = self._ended_at  # a moment ago, and this is the same task
        self._running.add(queue)
        try:
            answer = self._invocation.begin(queue, dispatch)
        except BaseException:
            self._stop(queue)
            raise
        if isinstance(answer, CoroutineType):
            return self._wait(queue, dispatch, answer, task)
        self._answer(queue, dispatch, answer)
        return self._uncancel(task) if task.cancelling() else None

    async def _wait(
        self,
        queue: Queue,
        dispatch: AnyDispatch,
        handling: Coroutine[Any, Any, Answer],
        task: asyncio.Task[None],
    ) -> None:
        if self._timer is None:
            self._check_later()
        try:
            answer = await handling
        except BaseException:
            self._stop(queue)
            raise
        self._answer(queue, dispatch, answer)
        if task.cancelling():
            await self._uncancel(task)

    def _stop(self, queue: Queue) -> None:
        queue.task = queue.running = None
        queue.state = _IDLE
        self._running.discard(queue)

    def _answer(self, queue: Queue, dispatch: AnyDispatch, answer: Answer) -> None:
        queue.task = queue.running = None  # as ``_stop``, which would be a call more
        queue.state = _IDLE
        self._running.discard(queue)
        ended_at = self._ended_at = self._now()
        self._counters.handler_seconds.observe(ended_at - queue.started_at)
        if not queue.unwanted:
            why = self._answers.answer(queue.edge, answer)
            if why is not None:
                log.error("answer not sendable", **unsendable(dispatch, answer), why=why)
        if queue.dispatches:
            self._enqueue(queue)
        elif queue.forgotten:
            self._drop(queue)

    def _drop(self, queue: Queue) -> None:
        """All that its edge wanted is handled."""
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
                queue.cancel()
        if self._running:
            self._check_later()
