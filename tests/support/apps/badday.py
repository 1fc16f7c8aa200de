"""An application whose handler does what its message says: the worst of it."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from gateway import Gateway, Message

WORK_S = 0.005

gateway = Gateway()


def work() -> None:
    until = time.monotonic() + WORK_S
    while time.monotonic() < until:
        pass


def end(status: str) -> None:
    if status:
        os._exit(int(status))  # as a C library may
    os.kill(os.getpid(), signal.SIGKILL)


@gateway.on_message
async def handle(message: Message) -> str | None:
    word, _, argument = message.text.partition(" ")
    match word:
        case "raise":
            raise ValueError("a message that only `full` may show")
        case "hang":
            await asyncio.sleep(3600)
        case "wait":
            await asyncio.sleep(float(argument))
        case "block" | "block-once" if word == "block" or message.attempt == 1:
            time.sleep(float(argument))  # noqa: ASYNC251 (that is the point)
        case "work":
            work()
        case "huge":
            return "x" * int(argument)
        case "exit":
            raise SystemExit(3)
        case "die" | "exit-process" if word == "die" or message.attempt == 1:
            end(argument)
        case "nothing":
            return None
    return f"Received:{message.text}"
