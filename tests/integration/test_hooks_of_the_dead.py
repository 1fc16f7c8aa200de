"""What a worker was asked when it died: another is asked, three at most, and no end is lost."""

from __future__ import annotations

from tests.integration.asking import asker
from tests.integration.club import INTERNAL, Club, apart
from tests.integration.conftest import MakeSettings
from tests.integration.dying import kill
from tests.support.inprocess import InProcess, in_process
from tests.support.waiting import eventually


async def test_ends_are_owed_also_without_on_disconnect(settings: MakeSettings) -> None:
    """Red when the connection is forgotten before: nobody hands the end to another worker."""
    clubs = [Club(), Club()]
    for club in clubs:
        club.gateway.handlers.on_disconnect = None
    async with apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers):
        async with asker(edge) as client:
            await client.answer("subscribe", "room:1")
            client.ask("rpc", "wait")
            await eventually(lambda: any(len(club.given) == 2 for club in clubs), "a question")
        await eventually(lambda: edge.worker.parts.counters.closed, "its end")
        [first] = [club for club in clubs if club.given]
        [second] = [club for club in clubs if club is not first]
        second.gate.set()
        await kill(handlers[clubs.index(first)])
        await eventually(lambda: second.ends, "the end", 10)
        await eventually(lambda: not len(edge.worker.parts.hub), "nothing left")

    assert second.ends == ["room:1 1006"]


async def doomed(clubs: list[Club], handlers: list[InProcess], attempts: int) -> list[Club]:
    """Kill whoever is asked, so often. Returns whom it hit, in that order."""
    hit: list[Club] = []
    for attempt in range(1, attempts + 1):
        await eventually(lambda: any(club.given and club not in hit for club in clubs), "a try")
        [club] = [club for club in clubs if club.given and club not in hit]
        hit.append(club)
        assert club.given[0].attempt == attempt
        await kill(handlers[clubs.index(club)])
    return hit


async def test_what_a_dead_worker_was_asked_is_asked_of_another(settings: MakeSettings) -> None:
    clubs = [Club(), Club(), Club()]
    async with (
        apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers),
        asker(edge) as client,
    ):
        client.ask("rpc", "wait", "1")
        client.ask("rpc", "echo", "2")
        [first] = await doomed(clubs, handlers, 1)
        for club in clubs:
            club.gate.set()

        assert await client.told() == {"id": 1, "result": ["1", None, None]}
        assert await client.told() == {"id": 2, "result": ["2", None, None]}
    [second] = [club for club in clubs if club.given and club is not first]
    assert [given.attempt for given in second.given] == [2, 2]
    assert second.given[0].id == first.given[0].id


async def test_a_question_that_three_workers_died_of_is_an_error(settings: MakeSettings) -> None:
    clubs = [Club() for _ in range(4)]
    async with (
        apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers),
        asker(edge) as client,
    ):
        client.ask("rpc", "wait", "1")
        hit = await doomed(clubs, handlers, 3)

        assert await client.told() == {"id": 1, "error": INTERNAL}
        client.ask("rpc", "echo", "2")
        assert await client.told() == {"id": 2, "result": ["2", None, None]}
    [spared] = [club for club in clubs if club not in hit]
    assert [given.method for given in spared.given] == ["echo"]


async def test_an_end_that_waits_for_a_dead_worker_is_told_by_another(
    settings: MakeSettings,
) -> None:
    clubs = [Club(), Club()]
    async with apart(settings, *clubs, lease_seconds=1.0) as (edge, handlers):
        async with asker(edge) as client:
            await client.answer("subscribe", "room:1")
            [first] = [club for club in clubs if club.given]
            await kill(handlers[clubs.index(first)])
            client.leave("room:1")
            await eventually(lambda: edge.worker.parts.dispatcher.unanswered, "the end")
        [second] = [club for club in clubs if club is not first]
        await eventually(lambda: "gone" in second.ends, "the end", 10)

    assert second.ends == ["room:1 0", "gone"]


async def test_ends_wait_for_a_handler_worker(settings: MakeSettings) -> None:
    """Red when all that waits is abandoned with the socket."""
    club, later = Club(), Club()
    async with apart(settings, club, lease_seconds=1.0) as (edge, [handler]):
        parts = edge.worker.parts
        async with asker(edge) as client:
            await client.answer("subscribe", "room:1")
            await client.answer("subscribe", "room:2")
            await kill(handler)
            await eventually(lambda: not parts.members.handlers, "nobody", 10)
            client.leave("room:1")
            client.ask("rpc", "echo")
            await eventually(lambda: parts.dispatcher.unanswered == 2, "the end")
        await eventually(lambda: parts.counters.closed, "the close")
        async with in_process(settings(role="handler"), later.gateway):
            await eventually(lambda: "gone" in later.ends, "the end", 10)

    assert later.ends == ["room:1 0", "room:2 1006", "gone"]
    assert not later.given
