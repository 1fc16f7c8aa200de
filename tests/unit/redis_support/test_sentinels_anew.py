"""Sentinels that have lost what they knew, and begin at epoch 0: when they are believed."""

from __future__ import annotations

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support.sentinel_answers import Answer
from gateway.redis_support.sentinels import ANEW_S, Sentinels
from gateway.redis_support.stream import Endpoint, Place
from tests.support.waiting import eventually
from tests.unit.redis_support.fake_sentinel import NEW, OLD, FakeSentinel


@pytest.mark.parametrize("away", [1, 2])
async def test_while_some_are_away_most_that_began_anew_are_believed_in_time(
    fakes: list[FakeSentinel], away: int
) -> None:
    """All were lost with the primary, and one never comes back. Red when all must say so: workers
    stayed with an address where nobody is, until they were restarted. One alone is no majority.
    """
    now = [100.0]
    sentinels = Sentinels([fake.host for fake in fakes], "main", now=lambda: now[0])
    for fake in fakes:
        fake.says = Answer(OLD, 5)
    assert await sentinels.refresh() == OLD
    for fake in fakes[:away]:
        fake.error = b"NOAUTH Authentication required."
    for fake in fakes[away:]:
        fake.says = Answer(NEW, 0)

    for _ in range(3):
        assert await sentinels.refresh() == OLD
        now[0] += 0.4 * ANEW_S

    assert await sentinels.refresh() == (NEW if away == 1 else OLD)
    await sentinels.aclose()


async def test_most_are_not_believed_where_the_newer_one_is_heard_of_meanwhile(
    fakes: list[FakeSentinel],
) -> None:
    """Red when their time goes on: those of an older side would decide, since one is slow."""
    now = [100.0]
    sentinels = Sentinels([fake.host for fake in fakes], "main", now=lambda: now[0])
    fakes[0].says = Answer(NEW, 5)
    assert await sentinels.refresh() == NEW
    for there in (False, True, False):
        fakes[0].error = b"" if there else b"NOAUTH Authentication required."
        assert await sentinels.refresh() == NEW
        now[0] += 0.6 * ANEW_S

    assert await sentinels.refresh() == NEW
    await sentinels.aclose()


async def test_a_time_in_which_nobody_said_anything_does_not_count(
    fakes: list[FakeSentinel],
) -> None:
    """Red when it does: a worker that was cut off believes the first it hears of an older side."""
    now = [100.0]
    sentinels = Sentinels([fake.host for fake in fakes], "main", now=lambda: now[0])
    fakes[0].says = Answer(NEW, 5)
    assert await sentinels.refresh() == NEW
    fakes[0].error = b"NOAUTH Authentication required."
    assert await sentinels.refresh() == NEW
    for fake in fakes[1:]:
        fake.error = b"NOAUTH Authentication required."
    now[0] += 0.5 * ANEW_S
    with pytest.raises(BrokerUnavailable):
        await sentinels.refresh()
    for fake in fakes[1:]:
        fake.error = b""
    now[0] += 0.6 * ANEW_S

    assert await sentinels.refresh() == NEW
    now[0] += ANEW_S
    assert await sentinels.refresh() == OLD
    await sentinels.aclose()


async def test_an_address_of_a_family_on_which_none_listens_does_not_keep_all_from_agreeing(
    fakes: list[FakeSentinel], sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when it is one that has not said so: a name of both families was never believed."""
    resolve = sentinels._questions.resolve

    async def with_other_family() -> tuple[list[Place], dict[Endpoint, Exception]]:
        places, unfound = await resolve()
        return [*places, *(Place("::1", port, host) for host, port in sentinels.hosts)], unfound

    monkeypatch.setattr(sentinels._questions, "resolve", with_other_family)
    for fake in fakes:
        fake.says = Answer(OLD, 5)
    await sentinels.refresh()
    await eventually(lambda: len(sentinels._told_by) == 6, "those of the other family")
    for fake in fakes:
        fake.says = Answer(NEW, 0)

    assert await sentinels.refresh() == NEW
