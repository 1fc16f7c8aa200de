"""What a link makes of a slow and long way: little more is sent than arrives.

Red with links that sent everything unacknowledged again after a second's silence, and that dropped
what came before something missing: at 300 ms one way and with one batch lost they sent four bytes
for each that they delivered, at 600 ms two without any loss.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from tests.support.pipe import Lose, Traffic

BUDGET = 1.3  # bytes sent for one delivered
WIDTH = 2e6  # bytes a second
OUTPUT_LIMIT_BYTES = 32e6  # Redis cuts a subscriber off there


def nothing() -> Lose:
    return lambda _nth: False


def one_batch() -> Lose:
    return lambda nth: nth == 40


def one_in_a_hundred() -> Lose:
    dice = random.Random(1)
    return lambda _nth: dice.random() < 0.01


LOSSES = [nothing, one_batch, one_in_a_hundred]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("delay_s", [0.0, 0.05, 0.3, 0.6, 1.0])
@pytest.mark.parametrize("senders", [1, 5])
def test_little_more_is_sent_than_arrives(
    senders: int, delay_s: float, lose: Callable[[], Lose]
) -> None:
    traffic = Traffic(senders, bytes_per_s=WIDTH, delay_s=delay_s, lose=lose())

    traffic.offer_for(10)
    traffic.settle(within_s=120)

    arrived_whole(traffic)
    assert traffic.there.sent_bytes <= BUDGET * traffic.delivered_bytes
    assert traffic.there.most_waiting_bytes < OUTPUT_LIMIT_BYTES
    assert traffic.delivered_bytes >= 0.33 * WIDTH * (traffic.now - traffic.began)


@pytest.mark.parametrize("senders", [3, 16, 200])
def test_after_a_cut_what_all_peers_send_again_stays_below_the_limit_that_cut(senders: int) -> None:
    """Or the cure would cut the connection again, and again."""
    traffic = Traffic(senders, bytes_per_s=20e6, delay_s=0.05, lane_bytes=96_000_000 // senders)

    traffic.offer_for(0.5)
    traffic.cut()
    traffic.settle(within_s=400)

    arrived_whole(traffic)
    assert traffic.there.lost_bytes > 1e6
    repeated = traffic.there.sent_bytes - traffic.delivered_bytes
    assert repeated <= 1.1 * traffic.there.lost_bytes + 0.01 * traffic.delivered_bytes
    assert traffic.there.most_waiting_bytes < OUTPUT_LIMIT_BYTES


def arrived_whole(traffic: Traffic) -> None:
    for sender in traffic.senders:
        assert sender.delivered == list(range(1, sender.appended + 1))
