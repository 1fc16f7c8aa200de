"""The channels of a handshake: with the first that is refused the others are not asked for."""

from __future__ import annotations

from gateway.edge.admission import NO_CHANNELS
from gateway.edge.early_channels import EarlyChannels
from gateway.edge.sessions.base import Recipient
from gateway.errors import WorkerChannelLimit
from gateway.messaging.hub import Done
from gateway.protocol.receipt import Receipt
from tests.support.ids import new_connection_id


class Full:
    """``EarlySubscriptions`` of a worker that has room for one."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def subscribe(self, recipient: Recipient, channel: str, done: Done) -> None:
        self.asked.append(channel)
        done(Receipt.WRITTEN if len(self.asked) == 1 else WorkerChannelLimit("one"))

    def hand_over(self, connection: Recipient) -> None:
        raise AssertionError(connection)


async def test_after_a_refusal_nothing_more_is_asked() -> None:
    full = Full()
    early = EarlyChannels(new_connection_id(), None, held_bytes=100)

    assert await early.subscribe(full, ["a", "b", "c"]) == NO_CHANNELS
    assert full.asked == ["a", "b"]
