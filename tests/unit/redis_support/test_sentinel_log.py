"""What Sentinels that answer say besides where the primary is, and whom it is told."""

from __future__ import annotations

from contextlib import suppress

from gateway.errors import BrokerUnavailable
from gateway.redis_support.sentinel_answers import Answer
from gateway.redis_support.sentinels import ANEW_S, Sentinels
from tests.support.logs import capture_logs
from tests.unit.redis_support.fake_sentinel import NEW, OLD, FakeSentinel


async def test_a_quorum_is_lost_once_none_that_answers_has_one(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    """One that is parted from the others says so of itself, and decides nothing. Where none
    answers it is not known.
    """
    lost: list[bool] = []
    fakes[0].quorum = b"-NOQUORUM 1 usable Sentinels."
    fakes[1].quorum = b"-ERR Unknown sentinel subcommand 'ckquorum'"
    with capture_logs() as logs:
        for answer in (3, 1, 0, 3):
            for number, fake in enumerate(fakes):
                fake.error = b"" if number < answer else b"NOAUTH no"
            with suppress(BrokerUnavailable):
                await sentinels.refresh()
            lost.append(sentinels.quorum_lost)

    assert lost == [False, True, False, False]
    assert [line["event"] for line in logs if "quorum" in line["event"]] == [
        "sentinels have no quorum", "sentinels have a quorum again",
    ]  # fmt: skip


async def test_those_who_do_not_say_whether_they_have_a_quorum_have_not_lost_it(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    """Their user may lack the right to ask, as may all before this was asked."""
    for fake in fakes:
        fake.quorum = b"-NOPERM this user has no permissions to run 'sentinel|ckquorum'"

    assert await sentinels.refresh() == OLD
    assert not sentinels.quorum_lost


async def test_who_is_overruled_for_long_is_named_once(fakes: list[FakeSentinel]) -> None:
    """Who has an older configuration, or is one of fewer; not who has not heard of a switch yet."""
    now = [100.0]
    sentinels = Sentinels([fake.host for fake in fakes], "main", now=lambda: now[0])

    async def seen(times: int) -> list[dict[str, object]]:
        with capture_logs() as logs:
            for _ in range(times):
                assert await sentinels.refresh() == NEW
                now[0] += 0.6 * ANEW_S
        return [dict(line) for line in logs if line["event"].startswith("sentinels ")]

    for fake in fakes:
        fake.says = Answer(NEW, 2)
    assert await seen(4) == []
    fakes[1].says, fakes[2].says = Answer(OLD, 2), Answer(OLD, 1)
    assert await seen(2) == []
    [line] = await seen(4)
    assert (line["event"], line["log_level"]) == ("sentinels overruled", "warning")
    assert line["overruled"] == sorted(f"127.0.0.1:{fake.host[1]}" for fake in fakes[1:])
    assert (line["named"], line["primary"]) == (["old:6379"], "new:6379")
    for fake in fakes:
        fake.says = Answer(NEW, 2)
    assert [line["event"] for line in await seen(2)] == ["sentinels agree again"]
    await sentinels.aclose()


async def test_who_names_the_primary_of_before_while_who_knows_more_is_silent_is_overruled(
    fakes: list[FakeSentinel],
) -> None:
    """Red when only answers that were chosen among are looked at: all of these are older."""
    now = [100.0]
    sentinels = Sentinels([fake.host for fake in fakes], "main", now=lambda: now[0])
    fakes[0].says = Answer(NEW, 2)
    await sentinels.refresh()
    for fake in fakes[:2]:
        fake.error = b"NOAUTH no"
    with capture_logs() as logs:
        for _ in range(3):
            assert await sentinels.refresh() == NEW
            now[0] += 0.6 * ANEW_S

    [line] = [line for line in logs if line["event"] == "sentinels overruled"]
    assert line["overruled"] == [f"127.0.0.1:{fakes[2].host[1]}"]
    await sentinels.aclose()
