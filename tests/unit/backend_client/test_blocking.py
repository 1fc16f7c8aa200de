"""For how long code that waits is let wait."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

import pytest

from gateway.backend_client.asynchronous import AsyncClient
from gateway.backend_client.blocking import Client, LoopThread
from gateway.messaging.registry_turns import QUESTION_S, TURN_S
from gateway.messaging.requests_to_owners import PATIENCE_S


class Deadlines:
    """Takes what is asked, and for how long its answer is waited for; asks nothing."""

    def __init__(self) -> None:
        self.within_s: list[float] = []

    def call(self, _ask: Callable[[], Coroutine[Any, Any, Any]], *, within_s: float) -> list[Any]:
        self.within_s.append(within_s)
        return []


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.send_to_user("ann", "hello"),
        lambda client: client.disconnect_user("ann"),
        lambda client: client.connections(user="ann"),
        lambda client: client.channels(),
        lambda client: client.batch([]),
    ],
    ids=["send_to_user", "disconnect_user", "connections", "channels", "batch"],
)
def test_who_waits_for_a_turn_at_the_registry_is_told_what_came_of_it(
    ask: Callable[[Client], object],
) -> None:
    """Red when the caller gives up before: a TimeoutError without a word, of what goes on behind
    its back.
    """
    thread = Deadlines()
    ask(Client(cast("AsyncClient", None), cast("LoopThread", thread)))

    [within_s] = thread.within_s
    assert within_s > TURN_S + QUESTION_S + 2 * PATIENCE_S
