"""When probes leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from gateway.broker.memory import MemoryBroker
from gateway.cluster.loopback_probe import LoopbackProbe
from gateway.metrics import Counters
from gateway.protocol.envelopes.loopback import Probe
from gateway.protocol.envelopes.wire import read
from gateway.protocol.subscription_health import PROBES_TO_BE_READY
from tests.support.ids import new_worker_id
from tests.support.waiting import eventually


class SlowBroker(MemoryBroker):
    """Its PUBLISH lasts until it is told to be done."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens: list[int] = []
        self.done: list[Callable[[], None]] = []

    def publish(self, messages: Sequence[tuple[str, Any]]) -> asyncio.Future[list[int]]:
        batch = read(messages[0][1])
        assert batch is not None
        [probe] = batch.envelopes
        assert isinstance(probe, Probe)
        self.tokens.append(probe.token)
        done: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        self.done.append(lambda: done.set_result([1]))
        return done


async def test_whoever_asks_while_a_probe_leaves_waits_for_the_next_one_only() -> None:
    """Red when the wish is forgotten once that probe has left: the next one comes 2 s later."""
    broker, came = SlowBroker(), list[int]()
    probe = LoopbackProbe(
        new_worker_id(), broker, "inbox", Counters(), hopeless=lambda: None,
        now=asyncio.get_running_loop().time,
    )  # fmt: skip
    task = asyncio.create_task(probe.run())
    try:
        for token in range(1, PROBES_TO_BE_READY + 1):  # from here on they are rare
            await eventually(lambda token=token: len(broker.tokens) == token, "a probe")  # type: ignore[misc]
            broker.done[-1]()
            probe.back(token)
        probe.after_next(lambda: came.append(0))
        await eventually(lambda: len(broker.tokens) == PROBES_TO_BE_READY + 1, "the one wanted")
        probe.after_next(lambda: came.append(1))  # while it leaves
        broker.done[-1]()
        await eventually(lambda: len(broker.tokens) == PROBES_TO_BE_READY + 2, "the next one", 1.0)
        probe.back(PROBES_TO_BE_READY + 2)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert came == [1]
