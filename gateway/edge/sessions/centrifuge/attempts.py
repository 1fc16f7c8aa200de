"""What is done for a client beside the work of its worker: whatever becomes of it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.edge.sessions.centrifuge.results import as_error
from gateway.errors import GatewayError
from gateway.log import get_logger
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.session import Answer

log = get_logger(__name__)


class Attempts:
    """Those of one worker that are under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, coming: Coroutine[Any, Any, None], answer: Callable[[Answer], None]) -> None:
        """Run ``coming``, which answers by itself; ``answer`` what has kept it from that."""
        task = asyncio.create_task(_attempt(coming, answer), name="client request")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _attempt(coming: Coroutine[Any, Any, None], answer: Callable[[Answer], None]) -> None:
    """Who is not answered because it fails is answered that it shall try again."""
    try:
        await coming
    except GatewayError as error:
        answer(as_error(error))
    except asyncio.CancelledError:
        answer(codes.INTERNAL)
        raise
    except Exception:
        log.exception("request failed")
        answer(codes.INTERNAL)
