"""A session in tests, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, get_args

from gateway.protocol.centrifuge.commands import Request
from gateway.protocol.centrifuge.refusals import LIMITS, Limits
from gateway.protocol.centrifuge.replies import ConnectResult, SubscribeResult
from gateway.protocol.centrifuge.session import Session
from gateway.protocol.centrifuge.steps import Ask, End, Step, Write

EVERYTHING: frozenset[type[Request]] = frozenset(get_args(Request))
ADMITTED = ConnectResult()
GRANTED = SubscribeResult()


def new(available: frozenset[type[Request]] = EVERYTHING, limits: Limits = LIMITS) -> Session:
    """One that was accepted at 100 s."""
    return Session(
        "c1", version="1.0", available=available, first_ping=1.0, now=100.0, limits=limits
    )


def connected(
    available: frozenset[type[Request]] = EVERYTHING,
    *,
    limits: Limits = LIMITS,
    result: ConnectResult = ADMITTED,
) -> Session:
    session = new(available, limits)
    session.receive('{"id":1,"connect":{}}')
    session.answer(1, result, 100.0)
    return session


def subscribed(channel: str = "a", result: SubscribeResult = GRANTED) -> Session:
    """Connected, with the next ticket 3 and the next id 3."""
    session = connected()
    session.receive(f'{{"id":2,"subscribe":{{"channel":"{channel}"}}}}')
    session.answer(2, result, 100.0)
    return session


def said(steps: Iterable[Step]) -> list[Any]:
    """The messages of all frames."""
    return [
        json.loads(message)
        for step in steps
        if isinstance(step, Write)
        for message in step.payload.split(b"\n")
    ]


def asked(steps: Iterable[Step]) -> list[Request]:
    return [step.request for step in steps if isinstance(step, Ask)]


def ended(steps: Iterable[Step]) -> int | None:
    """With which close code, if at all."""
    return next((step.close.code for step in steps if isinstance(step, End)), None)
