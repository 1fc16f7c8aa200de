"""Deaf, away, ready: what a worker makes of its probes. The design gives the numbers."""

from __future__ import annotations

from gateway.protocol.subscription_health import Action, SubscriptionHealth


def listening(now: float = 100.0) -> SubscriptionHealth:
    """A health whose last two probes are back."""
    it = SubscriptionHealth(now)
    for _ in range(2):
        it.published(answered=True)
        it.back(now)
    it.heard(now)
    it.check(now)
    return it


def silent(it: SubscriptionHealth, start: float, end: float) -> list[tuple[float, Action]]:
    """LoopbackProbe leave every two seconds and nothing comes in: what it wants done, and when."""
    found: list[tuple[float, Action]] = []
    now = start
    while now <= end:
        it.published(answered=True)
        action = it.check(now)
        if action is not Action.NOTHING:
            found.append((now, action))
        now += 2.0
    return found


def test_a_worker_is_ready_after_its_second_probe() -> None:
    it = SubscriptionHealth(100.0)
    it.back(100.1)
    assert not it.ready

    it.back(100.2)

    assert it.ready


def test_probes_are_sent_often_until_ready_and_seldom_then() -> None:
    it = SubscriptionHealth(100.0)
    assert it.interval_s == 0.1

    it.back(100.0)
    it.back(100.0)

    assert it.interval_s == 2.0


def test_the_age_of_a_probe_counts_from_when_the_last_one_came_back() -> None:
    it = SubscriptionHealth(100.0)
    assert it.age_s(103.0) == 3.0

    it.back(104.0)

    assert it.age_s(105.0) == 1.0


def test_readiness_ends_when_no_probe_came_back_for_six_seconds() -> None:
    it = listening(100.0)
    it.check(106.0)
    assert it.ready

    it.check(106.001)

    assert not it.ready


def test_after_such_a_silence_two_more_probes_make_it_ready() -> None:
    it = listening(100.0)
    it.check(107.0)
    it.back(108.0)
    assert not it.ready

    it.back(108.1)

    assert it.ready


def test_other_traffic_does_not_make_up_for_missing_probes() -> None:
    it = listening(100.0)
    it.heard(106.0)

    it.check(106.5)

    assert not it.ready


def test_readiness_ends_when_a_command_is_not_answered() -> None:
    it = listening()

    it.published(answered=False)

    assert not it.ready


def test_after_redis_was_away_two_more_probes_make_it_ready() -> None:
    it = listening()
    it.published(answered=False)
    it.back(120.0)
    assert not it.ready

    it.back(120.1)

    assert it.ready


def test_six_seconds_of_silence_are_not_deaf_yet() -> None:
    it = listening(100.0)

    assert it.check(106.0) is Action.NOTHING


def test_more_than_six_seconds_of_silence_make_the_subscriptions_anew() -> None:
    it = listening(100.0)

    assert it.check(106.001) is Action.RESUBSCRIBE


def test_anything_that_comes_in_ends_the_silence() -> None:
    it = listening(100.0)
    it.heard(105.0)

    assert it.check(111.0) is Action.NOTHING


def test_the_subscriptions_are_made_anew_no_more_often_than_every_six_seconds() -> None:
    it = listening(100.0)

    actions = silent(it, 107.0, 125.0)

    assert actions == [
        (107.0, Action.RESUBSCRIBE),
        (113.0, Action.RESUBSCRIBE),
        (119.0, Action.RESUBSCRIBE),
        (125.0, Action.RESUBSCRIBE),
    ]


def test_a_worker_that_is_still_deaf_after_thirty_seconds_drains() -> None:
    it = listening(100.0)

    drains = [now for now, action in silent(it, 107.0, 137.0) if action is Action.DRAIN]

    assert drains == [137.0]


def test_hearing_again_starts_the_thirty_seconds_anew() -> None:
    it = listening(100.0)
    silent(it, 107.0, 135.0)
    it.heard(136.0)

    assert silent(it, 138.0, 144.0) == [(144.0, Action.RESUBSCRIBE)]


def test_while_commands_are_not_answered_redis_is_away_and_nothing_is_done() -> None:
    it = listening(100.0)
    for now in range(102, 200):
        it.published(answered=False)
        assert it.check(float(now)) is Action.NOTHING


def test_when_redis_is_back_the_silence_counts_from_then_on() -> None:
    it = listening(100.0)
    it.published(answered=False)
    it.check(110.0)

    assert silent(it, 120.0, 128.0) == [(128.0, Action.RESUBSCRIBE)]


def test_a_redis_that_goes_away_starts_the_thirty_seconds_anew() -> None:
    it = listening(100.0)
    silent(it, 107.0, 135.0)
    it.published(answered=False)
    it.check(136.0)

    assert Action.DRAIN not in [action for _, action in silent(it, 138.0, 164.0)]


def test_before_the_first_command_is_answered_nothing_is_done() -> None:
    assert SubscriptionHealth(100.0).check(200.0) is Action.NOTHING


def test_a_worker_that_waited_long_for_redis_at_its_start_is_not_deaf() -> None:
    it = SubscriptionHealth(100.0)
    it.published(answered=True)

    assert it.check(200.0) is Action.NOTHING
