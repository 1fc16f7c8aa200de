"""What Sentinels say, and what is believed of it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import BrokerUnavailable
from gateway.redis_support.sentinel_answers import Answer
from gateway.redis_support.sentinels import Sentinels
from gateway.redis_support.stream import Endpoint, Place
from tests.support.logs import capture_logs
from tests.support.waiting import eventually
from tests.unit.redis_support.fake_sentinel import NEW, OLD, FakeSentinel
from tests.unit.redis_support.test_subscriptions import Pauses


async def test_one_that_is_cut_off_does_not_decide(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    fakes[0].says = Answer(OLD, 1)
    fakes[1].says = fakes[2].says = Answer(NEW, 2)

    assert await sentinels.refresh() == NEW


async def test_what_was_newer_is_not_forgotten_while_some_are_silent(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    """Red when a later, older answer replaces it: the old primary would be spoken to."""
    fakes[1].says = fakes[2].says = Answer(NEW, 2)
    assert await sentinels.refresh() == NEW
    fakes[1].says = fakes[2].says = None

    assert await sentinels.refresh() == NEW


async def test_one_that_is_always_slower_is_heard(
    fakes: list[FakeSentinel], sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when what comes after the others is thrown away: whoever has a Sentinel of the older side
    near, and those of the newer far away, would stay with the primary of before for ever.
    """
    monkeypatch.setattr("gateway.redis_support.asking.OTHERS_S", 0.0)
    monkeypatch.setattr("gateway.redis_support.sentinels.ASK_INTERVAL_S", 600)
    fakes[1].says = fakes[2].says = Answer(NEW, 2)
    for fake in fakes[1:]:
        fake.delay_s = 0.05
    watch = asyncio.create_task(sentinels.watch())
    try:
        await eventually(lambda: sentinels.primary == OLD, "the first answer")
        await eventually(lambda: sentinels.primary == NEW, "the newest configuration")
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    assert not sentinels.away


async def test_what_a_slower_one_said_is_forgotten_with_it(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    fakes[1].says = Answer(NEW, 2)
    assert await sentinels.refresh() == NEW
    fakes[1].error = b"NOAUTH Authentication required."
    await sentinels.refresh()

    assert NEW not in {answer.primary for answer in sentinels._answers.values()}


async def test_sentinels_that_all_begin_anew_are_believed(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    for fake in fakes:
        fake.says = Answer(OLD, 5)
    assert await sentinels.refresh() == OLD
    for fake in fakes:
        fake.says = Answer(NEW, 0)

    assert await sentinels.refresh() == NEW


async def test_one_that_cannot_be_found_has_not_agreed(fakes: list[FakeSentinel]) -> None:
    """Red when the rest are all there are: a name that does not resolve is away, and may know."""
    sentinels = Sentinels([fakes[0].host, ("no.such.host.invalid", 1)], "main")
    fakes[0].says = Answer(NEW, 2)
    assert await sentinels.refresh() == NEW
    fakes[0].says = Answer(OLD, 1)

    assert await sentinels.refresh() == NEW
    await sentinels.aclose()


async def test_those_who_connect_together_ask_once(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    await asyncio.gather(*(sentinels.locate() for _ in range(20)))

    assert [fake.asked for fake in fakes] == [1, 1, 1]


async def test_who_cannot_connect_does_not_ask_with_each_attempt(
    fakes: list[FakeSentinel],
) -> None:
    """Red when it does: with a primary that was lost, each worker did so thirty times a second."""
    time = 100.0
    sentinels = Sentinels([fake.host for fake in fakes], "main", now=lambda: time)
    for attempt in range(30):
        time = 100.0 + attempt / 30
        assert await sentinels.locate() == OLD
    await sentinels.aclose()

    assert [fake.asked for fake in fakes] == [2, 2, 2]


async def test_a_switch_is_told_at_once_to_whoever_is_connected(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    switched: list[Endpoint] = []
    sentinels.on_switch = switched.append
    await sentinels.refresh()
    for fake in fakes:
        fake.says = Answer(NEW, 2)
    with capture_logs() as logs:
        await sentinels.refresh()

    assert switched == [NEW]
    [line] = [line for line in logs if line["event"] == "redis primary switched"]
    assert (line["primary"], line["epoch"], line["sentinels"]) == ("new:6379", 2, 3)


@pytest.mark.parametrize("told", [True, False], ids=["told", "asking alone"])
async def test_a_watch_follows_a_switch(
    fakes: list[FakeSentinel], sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch, told: bool
) -> None:
    """Told of it, it need not wait until it asks; and it asks, in case nobody tells."""
    monkeypatch.setattr("gateway.redis_support.sentinels.ASK_INTERVAL_S", 600 if told else 0.05)
    watch = asyncio.create_task(sentinels.watch())
    try:
        await eventually(lambda: sentinels.primary == OLD, "the first answer")
        await eventually(lambda: any(fake.listeners for fake in fakes), "a listener")
        for fake in fakes:
            fake.says = Answer(NEW, 2)
        if told:
            for fake in fakes:
                fake.switch()
        await eventually(lambda: sentinels.primary == NEW, "the switch")
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def test_who_refuses_a_listener_is_asked_less_and_less(
    fakes: list[FakeSentinel], sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when a connection that was made is enough to begin anew."""
    attempts = Pauses()
    monkeypatch.setattr("gateway.redis_support.sentinel_listener.reconnect_delay_s", attempts)
    for fake in fakes:
        fake.error = b"NOPERM no"
    watch = asyncio.create_task(sentinels.watch())
    try:
        await eventually(lambda: len(attempts) >= 4, "four refusals")
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)

    assert attempts[:4] == [1, 2, 3, 4]


async def test_no_answer_is_said_once_and_its_end(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    for fake in fakes:
        fake.error = b"NOAUTH Authentication required."
    with capture_logs() as logs:
        for _ in range(3):
            with pytest.raises(BrokerUnavailable, match="no Sentinel says where main is: NOAUTH"):
                await sentinels.refresh()
        for fake in fakes:
            fake.error = b""
        await sentinels.refresh()

    events = [line["event"] for line in logs]
    assert events == ["no sentinel says where the primary is", "sentinels answer again"]


async def test_one_that_is_away_is_named_once_and_the_rest_serve(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    fakes[1].error = b"NOAUTH Authentication required."
    with capture_logs() as logs:
        for _ in range(3):
            await sentinels.refresh()
        away = set(sentinels.away)
        fakes[1].error = b""
        await sentinels.refresh()

    assert away == {fakes[1].host}
    assert not sentinels.away
    assert not sentinels.silent
    said, again = logs
    assert said["event"] == "sentinels do not answer"
    assert said["away"] == [f"{fakes[1].host[0]}:{fakes[1].host[1]}"]
    assert "NOAUTH" in said["error"]
    assert (again["event"], again["sentinels"]) == ("sentinels answer again", 3)


async def test_all_of_them_are_away(fakes: list[FakeSentinel], sentinels: Sentinels) -> None:
    for fake in fakes:
        fake.error = b"NOAUTH Authentication required."
    with pytest.raises(BrokerUnavailable):
        await sentinels.refresh()

    assert sentinels.silent
    assert set(sentinels.away) == {fake.host for fake in fakes}


async def test_one_that_takes_its_time_is_not_away(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    """Red when whoever is slower than the first counts as away."""
    fakes[2].says = None
    await sentinels.refresh()

    assert not sentinels.away


@pytest.mark.parametrize("host", ["no.such.host.invalid", "a..b"])
async def test_a_name_that_is_nobodys_is_away(fakes: list[FakeSentinel], host: str) -> None:
    sentinels = Sentinels([fakes[0].host, (host, 1)], "main")
    await sentinels.refresh()

    assert set(sentinels.away) == {(host, 1)}
    await sentinels.aclose()


REFUSED = ConnectionRefusedError(111, "Connection refused")


@pytest.mark.parametrize(
    ("told_by", "away"),
    [
        ({"127.0.0.1": None, "::1": REFUSED}, set()),  # it listens on one family
        ({"127.0.0.1": REFUSED, "::1": REFUSED}, {("all", 1)}),
        ({"10.0.0.1": None, "10.0.0.2": REFUSED}, {("10.0.0.2", 1)}),  # a name for several
        ({"10.0.0.1": None, "10.0.0.2": None}, set()),
    ],
)
def test_of_a_name_those_are_away_that_others_of_their_family_stand_for(
    told_by: dict[str, Exception | None], away: set[Endpoint]
) -> None:
    sentinels = Sentinels([("all", 1)], "main")
    sentinels._told_by = {Place(address, 1, "all"): told for address, told in told_by.items()}

    assert set(sentinels.away) == away


async def test_who_waits_may_be_cancelled_and_the_others_still_learn(
    fakes: list[FakeSentinel], sentinels: Sentinels
) -> None:
    first = asyncio.create_task(sentinels.refresh())
    second = asyncio.create_task(sentinels.refresh())
    await asyncio.sleep(0)
    first.cancel()

    assert await second == OLD
    assert first.cancelled()


@pytest.mark.parametrize("turns", range(4))
async def test_a_switch_that_is_told_while_all_are_asked_is_asked_about(
    turns: int, sentinels: Sentinels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Red when the question that is under way counts: it may have been answered before."""
    says, gate, put = OLD, asyncio.Event(), 0

    async def ask_all() -> tuple[list[Answer], list[Exception]]:
        nonlocal put
        said, put = Answer(says, 1), put + 1
        if put > 1:
            await gate.wait()
        return [said], []

    async def some_place() -> Place:
        raise LookupError("nobody is listened to")

    monkeypatch.setattr(sentinels, "_ask_all", ask_all)
    monkeypatch.setattr(sentinels, "_some_place", some_place)
    watching = asyncio.create_task(sentinels.watch())
    await eventually(lambda: sentinels.primary == OLD, "the first answer")
    asking = asyncio.create_task(sentinels.refresh())
    await eventually(lambda: put == 2, "the question of before")
    says = NEW
    sentinels._told.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    gate.set()

    await eventually(lambda: sentinels.primary == NEW, "another question", within_s=1.0)
    assert await asking == OLD
    watching.cancel()
    await asyncio.wait({watching})
