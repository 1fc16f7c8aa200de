"""What the frames of the text endpoint mean: plain, and with the trace subprotocol.

A client that speaks another protocol brings a ``hear`` of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from loadtest.receipts import PUSH

TRACE: Final = "gateway.trace.v1"
GOODBYE: Final = "Bye!!!"


@dataclass(frozen=True, slots=True)
class Answer:
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    reason: str


@dataclass(frozen=True, slots=True)
class Pushed:
    text: str


@dataclass(frozen=True, slots=True)
class Greeting:
    """Says nothing that must be checked."""


Meaning = Answer | Failure | Pushed | Greeting


def hear_plain(text: str) -> Meaning:
    if text.startswith(PUSH):
        return Pushed(text)
    return Greeting() if text == GOODBYE else Answer(text)


def hear_trace(text: str) -> Meaning:
    frame = json.loads(text)
    if "text" in frame:
        return Answer(frame["text"])
    if "error" in frame:
        return Failure(frame["error"])
    if "push" in frame:
        # An echo that comes as a push has lost its way: it is judged like any other echo.
        return Pushed(frame["push"]) if frame["push"].startswith(PUSH) else Answer(frame["push"])
    return Greeting()
