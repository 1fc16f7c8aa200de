"""The part of a run that lives in every process with users: orders come in, tallies go out."""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any, Final, Protocol

import gevent
import psutil
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.backoff import LONGEST_S
from loadtest.checker import Fault
from loadtest.receipts import ReceiptBook
from loadtest.tally import Tally

ORDER: Final = "loadtest-order"
TALLY: Final = "loadtest-tally"

EVERY_S: Final = 0.5
LOOK_S: Final = 0.5
ANSWERS_S: Final = 15.0  # after the last line was sent
RETURN_S: Final = LONGEST_S + 5.0  # of those who are away

log = logging.getLogger(__name__)


class ConnectedUser(Protocol):
    """A user with a socket, as the generator sees it."""

    connection: str

    @property
    def connected(self) -> bool: ...
    @property
    def unanswered(self) -> int: ...
    def obey(self, order: dict[str, Any]) -> None: ...
    def end(self, *, in_time: bool) -> None: ...


class Generator:
    """This process's users, what they saw, and how fast they shall send.

    Attributes:
        per_user: Lines a second of one user.
        pushes: Pushes a second of one pusher.
        talking: Whether lines are sent at all.
    """

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.name = secrets.token_hex(3)
        self.tally = Tally()
        self.load: dict[int, list[float]] = {}
        self._begin()
        runner = environment.runner
        runner.register_message(ORDER, self._ordered, concurrent=True)
        events = environment.events
        events.test_start.add_listener(lambda **_: self._start())
        events.test_stopping.add_listener(lambda **_: self._stopped())
        self._reporting: Any = None

    def _start(self) -> None:
        self._begin()
        if self._reporting is None:  # not before: nobody would listen
            self._reporting = self.environment.runner.greenlet.spawn(self._report)

    def _begin(self) -> None:
        self.per_user = self.pushes = 0.0
        self.talking = False
        self.ended = False
        self._standing = 0
        self.members: list[ConnectedUser] = []
        self._numbers = 0
        self.orders: dict[str, Any] = {}
        self.book = ReceiptBook(self.name)

    def enter(self, member: ConnectedUser) -> str:
        """Take a user in. Returns its name, which no other user of any process has."""
        self.members.append(member)
        self._numbers += 1
        return f"{self.name}-{self._numbers}"

    @property
    def look_s(self) -> float:
        """How often users see whether the rate has changed: many of them less often."""
        return max(LOOK_S, len(self.members) * LOOK_S / 1000)

    # What is counted

    def count(self, name: str, by: int = 1) -> None:
        self.tally.count(name, time.time(), by)

    def fault(self, fault: str, detail: str = "", by: int = 1) -> None:
        """Count a broken promise, and let locust show it under its own name."""
        if not by:
            return
        self.count(f"fault {fault}", by)
        if detail:
            self.tally.example(f"{fault}: {detail}")
        for _ in range(min(by, 1000)):
            self.event(fault, None, error=fault)

    def failed(self, answer: str, detail: str) -> None:
        """Count an error that came as an answer. ``answer``: which one, to what; one of few."""
        self.count(f"error {answer}")
        self.fault(Fault.FAILED, detail)

    def event(
        self, name: str, seconds: float | None, *, size: int = 0, error: str | None = None,
        kind: str = "WS",
    ) -> None:  # fmt: skip
        """Tell locust's own statistics."""
        self.environment.events.request.fire(
            request_type=kind,
            name=name,
            response_time=None if seconds is None else seconds * 1000,
            response_length=size,
            exception=Exception(error) if error else None,
            context={},
        )

    def timed(self, name: str, seconds: float, *, size: int = 0, kind: str = "WS") -> None:
        self.tally.time(name, time.time(), seconds)
        self.event(name, seconds, size=size, kind=kind)

    # What is ordered

    def _ordered(self, environment: Environment, msg: Any, **_: Any) -> None:  # noqa: ARG002
        """Orders are repeated, for processes that come late: each must be safe to get again."""
        order: dict[str, Any] = msg.data
        self.per_user, self.pushes = order["per_user"], order["pushes"]
        fresh, self.orders = order["serial"] != self.orders.get("serial"), order
        if order["end"]:
            if order["stopped"]:
                self._stopped()
            elif fresh:
                gevent.spawn(self._settle)
            return
        self.talking = True
        if fresh:
            for member in list(self.members):
                member.obey(order)

    def _settle(self) -> None:
        """Stop sending, give answers their time, and judge what is left."""
        self.talking = False
        order = self.orders
        now_s = time.monotonic()
        answers_by, back_by = now_s + ANSWERS_S, now_s + RETURN_S
        for member in list(self.members):
            member.obey(self.orders)
        while (now_s := time.monotonic()) < back_by:
            if self.ended or self.orders is not order:
                return  # somebody stopped the test
            quiet = not self.book.awaited and not any(m.unanswered for m in self.members)
            if (quiet or now_s > answers_by) and all(m.connected for m in self.members):
                break
            gevent.sleep(0.05)
        self._judge(in_time=True)

    def _stopped(self) -> None:
        """Somebody stopped the test: what is unanswered now had no time to be answered."""
        self.talking = False
        if not self.ended:
            self._judge(in_time=False)

    def _judge(self, *, in_time: bool) -> None:
        standing = {member.connection for member in self.members if member.connected}
        if in_time:
            for lie, count in self.book.lies(standing).items():
                self.fault(lie, by=count)
        for receipt, count in self.book.receipts().items():
            self.count(f"receipt {receipt}", count)
        self._standing = sum(member.connected for member in self.members)
        for member in list(self.members):
            member.end(in_time=in_time)
        self.ended = True
        self._send()

    def left(self, missing: int, in_doubt: int, detail: str) -> None:
        """Count what stayed unanswered at the end of a connection."""
        self.fault(Fault.MISSING, detail, missing)
        if in_doubt:
            self.count("in doubt", in_doubt)

    # What is sent to the coordinator

    def _report(self) -> None:
        process = psutil.Process()
        process.cpu_percent()
        while True:
            due = time.monotonic() + EVERY_S
            gevent.sleep(EVERY_S)
            late_s = time.monotonic() - due
            second = int(time.time())
            before = self.load.get(second, [0.0, 0.0])
            self.load[second] = [
                max(before[0], process.cpu_percent()),
                max(before[1], late_s),
            ]
            self._send()

    def _send(self) -> None:
        runner = self.environment.runner
        if isinstance(runner, MasterRunner):
            return
        tally, self.tally = self.tally, Tally()
        load, self.load = self.load, {}
        runner.send_message(
            TALLY,
            {
                "from": self.name,
                "tally": tally.wire(),
                "load": load,
                "connected": sum(member.connected for member in self.members),
                "unanswered": sum(member.unanswered for member in self.members),
                "ended": self.ended,
                "standing": self._standing,
            },
        )


_generators: dict[int, Generator] = {}


def generator_of(environment: Environment) -> Generator:
    """The generator of this process. It must have been made by ``begin``."""
    return _generators[id(environment)]


def begin(environment: Environment) -> None:
    _generators[id(environment)] = Generator(environment)
