"""Asking the owner of a connection to send, to close, or to say what it knows; and its answer.

Only two parties may say that a connection is gone: its owner, and Redis, by the owner's fence
or by an absence that is older than a lease. Everything else that is not an answer is UNREACHABLE.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from gateway.errors import (
    BadChannel,
    BrokerUnavailable,
    ChannelLimit,
    GatewayError,
    NotAvailable,
    UnknownChannel,
    WorkerChannelLimit,
)
from gateway.messaging.lease_looks import LeaseLooks
from gateway.protocol.channel_names import namespace_of
from gateway.protocol.envelopes.requests_to_owners import (
    Disconnect,
    Inquire,
    ListChannels,
    Question,
    Receipted,
    Send,
    SubscribeConnection,
    UnsubscribeConnection,
)
from gateway.protocol.ids import ConnectionId, WorkerId, owner_of
from gateway.protocol.leases import Leases
from gateway.protocol.receipt import Receipt

PATIENCE_S: Final = 2.0
MAX_UNANSWERED: Final = 20_000

_REFUSALS: Final = (BadChannel, ChannelLimit, NotAvailable, UnknownChannel, WorkerChannelLimit)
_ERRORS: Final = {kind.code: kind for kind in _REFUSALS}


class RequestTransport(Protocol):
    """How questions get to owners."""

    def ask(self, owner: WorkerId, question: Question) -> bool:
        """Send it. False: this way is closed to it for now, and nothing was sent.

        Raises:
            EnvelopeTooLarge: It is over what a batch may carry.
            UnicodeEncodeError: Its text is not Unicode.
        """
        ...

    def knows(self, owner: WorkerId) -> bool:
        """Whether ``owner`` is known to live, so that nobody need ask Redis first."""
        ...


class Unanswered(Exception):
    """No owner has answered; ``receipt`` says what that means."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt)
        self.receipt = receipt


class _Open:
    """One question that waits for its answer."""

    __slots__ = ("answer", "owner")

    def __init__(self, owner: WorkerId, answer: asyncio.Future[Receipted]) -> None:
        self.owner = owner
        self.answer = answer


class RequestsToOwners:
    """Everything that one process asks. Make it inside the event loop.

    What is asked names plain texts, Unicode, as ``gateway.commands`` has them: they are looked at
    where they come in, and not for each connection of a user.

    Args:
        look: All leases, read after it was called.
        lease_s: For how long an absence must be possible before it is believed.
        unlinked: This process is no worker.
        count: Told the receipt of every send.
    """

    def __init__(
        self,
        transport: RequestTransport,
        look: Callable[[], Awaitable[Leases]],
        *,
        lease_s: float,
        unlinked: bool = False,
        count: Callable[[str], None] = lambda _receipt: None,
    ) -> None:
        self._transport = transport
        self._looks = LeaseLooks(look)
        self._lease_s = lease_s
        self._unlinked = unlinked
        self._count = count
        self._numbers = itertools.count(1)
        self._open: dict[int, _Open] = {}
        self._deadlines: deque[tuple[float, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._fates: set[asyncio.Task[None]] = set()

    @property
    def unanswered(self) -> int:
        """How many questions wait for their answers."""
        return len(self._open)

    async def send(self, connection: str, text: str, *, key: str | None = None) -> Receipt:
        """Write ``text`` to a connection, wherever it is, as one text frame.

        Sends of one task to one connection arrive in order, each after what came before it.
        Cancelling the call does not take the text back.

        Args:
            key: The same send again within a minute, with the same key, is not written twice.

        Raises:
            EnvelopeTooLarge: The text is over about a megabyte.
        """
        receipted = await self._ask(
            connection, lambda name, number: Send(name, number, text, key, self._unlinked)
        )
        self._count(receipted.receipt)
        return receipted.receipt

    async def disconnect(self, connection: str, code: int, reason: str) -> Receipt:
        """Close a connection with this code and reason. WRITTEN: its close frame is under way."""
        receipted = await self._ask(
            connection, lambda name, number: Disconnect(name, number, code, reason, self._unlinked)
        )
        return receipted.receipt

    async def subscribe(self, connection: str, channel: str) -> Receipt:
        """Subscribe a connection to a channel. WRITTEN: it is subscribed.

        Raises:
            BadChannel, UnknownChannel, ChannelLimit: As its owner says.
        """
        receipted = await self._ask(
            connection,
            lambda name, number: SubscribeConnection(name, number, channel, self._unlinked),
        )
        if receipted.error == UnknownChannel.code:
            raise UnknownChannel(f"there is no namespace {namespace_of(channel)!r}")
        return _receipt_of(receipted)

    async def unsubscribe(self, connection: str, channel: str) -> Receipt:
        """Unsubscribe a connection. WRITTEN: it is not subscribed."""
        return _receipt_of(
            await self._ask(
                connection,
                lambda name, number: UnsubscribeConnection(name, number, channel, self._unlinked),
            )
        )

    async def inquire(self, connection: str) -> Receipted:
        """What its owner says of a connection: with particulars if the receipt is WRITTEN."""
        return await self._ask(
            connection, lambda name, number: Inquire(name, number, self._unlinked)
        )

    async def channels_at(
        self, worker: WorkerId, *, pattern: str, after: str, limit: int
    ) -> Receipted:
        """Which channels have subscribers at a worker: with channels if the receipt is WRITTEN.

        Args:
            pattern: As of a shell.
            after: Only names behind this one.
        """
        number = next(self._numbers)
        question = ListChannels(number, pattern, after, limit, self._unlinked)
        return await self._asked(worker, ConnectionId(""), question)

    def answered(self, worker: WorkerId, receipted: Receipted) -> None:
        """An owner has answered. Late answers are dropped."""
        waiting = self._open.get(receipted.number)
        if waiting is not None and waiting.owner == worker and not waiting.answer.done():
            waiting.answer.set_result(receipted)

    def unreachable(self, number: int) -> None:
        """A question could not be sent, or nobody can know."""
        waiting = self._open.get(number)
        if waiting is not None and not waiting.answer.done():
            waiting.answer.set_exception(Unanswered(Receipt.UNREACHABLE))

    def worker_gone(self, worker: WorkerId) -> None:
        """``worker`` is taken for dead: what it owes is answered by what Redis says of it."""
        if any(waiting.owner == worker for waiting in self._open.values()):
            task = asyncio.create_task(self._settle_fate(worker), name=f"fate of {worker}")
            self._fates.add(task)
            task.add_done_callback(self._fates.discard)

    async def aclose(self) -> None:
        """Answer everything that is open with UNREACHABLE, and all that is asked from here on."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for number in list(self._open):
            self.unreachable(number)
        for task in list(self._fates):
            task.cancel()
        await asyncio.gather(*self._fates, return_exceptions=True)
        await self._looks.aclose()

    async def _ask(
        self, connection: str, question: Callable[[ConnectionId, int], Question]
    ) -> Receipted:
        name = ConnectionId(connection)
        owner = owner_of(connection)
        if owner is None:
            return Receipted(name, 0, Receipt.GONE)
        if self._closed:
            return Receipted(name, 0, Receipt.UNREACHABLE)
        return await self._asked(owner, name, question(name, next(self._numbers)))

    async def _asked(self, owner: WorkerId, name: ConnectionId, question: Question) -> Receipted:
        try:
            if not self._transport.knows(owner):
                await self._check(owner)
            return await self._wait(owner, question)
        except Unanswered as unanswered:
            return Receipted(name, question.number, unanswered.receipt)

    async def _wait(self, owner: WorkerId, question: Question) -> Receipted:
        if self._closed or len(self._open) >= MAX_UNANSWERED:
            raise Unanswered(Receipt.UNREACHABLE)
        if not self._transport.ask(owner, question):
            raise Unanswered(Receipt.UNREACHABLE)
        loop = asyncio.get_running_loop()
        waiting = _Open(owner, loop.create_future())
        self._open[question.number] = waiting
        self._deadlines.append((loop.time() + PATIENCE_S, question.number))
        if self._timer is None:
            self._timer = loop.call_later(PATIENCE_S, self._expire)
        try:
            return await waiting.answer
        finally:
            del self._open[question.number]

    def _expire(self) -> None:
        """One timer for all: every question waits equally long."""
        now = asyncio.get_running_loop().time()
        self._timer = None
        while self._deadlines and self._deadlines[0][0] <= now:
            waiting = self._open.get(self._deadlines.popleft()[1])
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_exception(Unanswered(Receipt.UNREACHABLE))
        while self._deadlines and self._deadlines[0][1] not in self._open:
            self._deadlines.popleft()
        if self._deadlines:
            self._timer = asyncio.get_running_loop().call_at(self._deadlines[0][0], self._expire)

    async def _settle_fate(self, worker: WorkerId) -> None:
        try:
            await self._check(worker)
        except Unanswered as unanswered:
            for waiting in list(self._open.values()):
                if waiting.owner == worker and not waiting.answer.done():
                    waiting.answer.set_exception(Unanswered(unanswered.receipt))

    async def _check(self, owner: WorkerId) -> None:
        """Ask Redis whether ``owner`` may answer.

        Raises:
            Unanswered: It cannot.
        """
        try:
            async with asyncio.timeout(PATIENCE_S):
                leases = await self._looks.fresh()
        except (BrokerUnavailable, TimeoutError):
            raise Unanswered(Receipt.UNREACHABLE) from None
        if owner in leases.fenced:
            raise Unanswered(Receipt.GONE)
        if owner not in leases.workers:
            since_ms = leases.known_since_ms
            old = since_ms and leases.now_ms - since_ms >= self._lease_s * 1000
            raise Unanswered(Receipt.GONE if old else Receipt.UNREACHABLE)


def _receipt_of(receipted: Receipted) -> Receipt:
    """Raises what the owner has refused it with; what it says in no words of ours is an error."""
    if receipted.error is None:
        return receipted.receipt
    raise _ERRORS.get(receipted.error, GatewayError)(f"its owner says {receipted.error}")
