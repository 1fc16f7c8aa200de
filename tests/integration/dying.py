"""The end of a worker without a word, in the process of the test: as if it had been killed."""

from __future__ import annotations

import asyncio

from tests.support.inprocess import InProcess
from tests.support.waiting import eventually


async def kill(served: InProcess) -> None:
    """Stop every part of a worker at once. Its lease stays, its sockets are never served again."""
    [task] = [task for task in asyncio.all_tasks() if _runs(task, served)]
    served.worker.readiness.exiting = True  # its server waits for nothing then
    task.cancel()
    await eventually(task.done, "the end of a worker", 10)


def _runs(task: asyncio.Task[object], served: InProcess) -> bool:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return (
        task.get_name() == "worker"
        and frame is not None
        and frame.f_locals.get("self") is served.worker
    )
