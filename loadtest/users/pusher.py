"""A backend: sends to connections over HTTP, and writes down what it is told."""

from __future__ import annotations

import random
import time
from typing import Any

from locust import FastHttpUser, task

from loadtest.generator import ConnectedUser, Generator, generator_of
from loadtest.receipts import RECEIPTS


class PushUser(FastHttpUser):
    """Pushes on schedule to the sockets of its own process, one at a time.

    Of its own process: there the receipts can be compared with what arrived.
    """

    fixed_count = 1  # the shape knows how many
    abstract = False
    network_timeout = 10.0
    connection_timeout = 10.0

    def on_start(self) -> None:
        self.generator: Generator = generator_of(self.environment)
        self._rate = 0.0
        self._due_s = 0.0

    def wait_time(self) -> float:
        rate = self.generator.pushes if self.generator.talking else 0.0
        now_s = time.monotonic()
        if rate != self._rate:
            self._rate = rate
            self._due_s = now_s + random.random() / rate if rate else 0.0
        if not rate:
            return self.generator.look_s
        return min(self.generator.look_s, max(0.0, self._due_s - now_s))

    @task
    def push_what_is_due(self) -> None:
        while self._rate and self.generator.talking and self._due_s <= time.monotonic():
            due_s, self._due_s = self._due_s, self._due_s + 1 / self._rate
            somebody = self._somebody()
            if somebody is None:
                self.generator.count("held back")
            else:
                self._push(somebody.connection, due_s)

    def _somebody(self) -> ConnectedUser | None:
        members = self.generator.members
        for _ in range(20):
            member = random.choice(members) if members else None
            if member is not None and member.connected and member.connection:
                return member
        return None

    def _push(self, connection: str, due_s: float) -> None:
        orders: dict[str, Any] = self.generator.orders
        text, push = self.generator.book.begin(connection, due_s)
        with self.client.post(
            f"{orders['api']}/@connections/{connection}",
            data=text,
            headers={"Authorization": f"Bearer {orders['key']}", "Content-Type": "text/plain"},
            name="/@connections/{id}",
            catch_response=True,
        ) as answer:
            status = answer.status_code or 0
            push.receipt = RECEIPTS.get(status, f"HTTP {status}" if status else "no answer")
            if status in {200, 410}:
                answer.success()
            else:
                answer.failure(push.receipt)
        now_s = time.monotonic()
        self.generator.tally.time("POST", time.time(), now_s - due_s)
