"""Two hundred workers that arrive at once, and more than half of them rolled: looks, picks,
messages, and who is buried (``tests.support.fleet``).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection

import pytest

from gateway.protocol.deadlines import LEASE_S, RENEWAL_S
from gateway.protocol.hash_ring import HashRing
from gateway.protocol.ids import ConnectionId, WorkerId
from gateway.protocol.subset import SUBSET
from tests.support.fleet import Client, Fleet, run

PAUSE_S = 20.0  # between two messages of a client
ROLLED_EACH_S = 5.0


def test_two_hundred_that_arrive_at_once_look_once_each_and_each_talks_to_some() -> None:
    """Then each has 48 messages at once: with their answers some 5,700 batches, and 17,000 where
    each talks to all. Red where an arrival is looked at, and not told.
    """

    async def arrivals() -> None:
        fleet = Fleet()
        fleet.arrive(200)
        assert await fleet.agree() <= 0.2
        assert fleet.redis.asked["look"] == 200

        assert {len(worker.members.targets) for worker in fleet.workers} == {SUBSET}
        clients = [Client(worker) for worker in fleet.workers for _ in range(48)]
        fleet.redis.asked.clear()
        for client in clients:
            client.say()
        await asyncio.sleep(0.1)

        assert all(client.answered_numbers == [1] for client in clients)
        spoken = [sum(q.heard for q in w.links._queues.values()) for w in fleet.workers]
        assert max(spoken) <= 2 * (SUBSET - 1)  # itself not, for that goes over no link
        assert fleet.redis.asked["publish"] <= 200 * 2 * (SUBSET - 1)
        handled = Counter(client.state.target for client in clients)
        assert max(handled.values()) < 2 * 48
        await fleet.stop()

    run(arrivals())


def test_a_hundred_that_arrive_within_a_second_look_once_each() -> None:
    """Red where an arrival is looked at, and not told."""

    async def arrivals() -> None:
        fleet = Fleet()
        fleet.arrive(100)
        await fleet.agree()
        looks = fleet.redis.asked["look"]
        for _ in range(100):
            fleet.arrive()
            await asyncio.sleep(0.01)

        assert await fleet.agree() <= 0.2
        assert fleet.redis.asked["look"] - looks <= 2 * 200  # the first of each, and renewals
        assert not fleet.redis.asked["claim"]
        await fleet.stop()

    run(arrivals())


def test_ten_that_die_of_a_hundred_are_claimed_a_few_times_each_and_not_by_all() -> None:
    """Red where all look at the end of a lease in the same moment: 90 claims for each."""

    async def deaths() -> None:
        fleet = Fleet()
        fleet.arrive(100)
        await fleet.agree()
        await asyncio.sleep(2 * LEASE_S)  # until absence is believed
        for worker in fleet.workers[:10]:
            await fleet.end(worker)
        del fleet.workers[:10]
        await asyncio.sleep(0.1)

        assert await fleet.agree() <= LEASE_S + RENEWAL_S
        assert len(fleet.deaths) == 10
        assert fleet.redis.asked["claim"] <= 10 * 10
        assert not any(worker.buried for worker in fleet.workers)
        await fleet.stop()

    run(deaths())


@pytest.mark.timeout(300)  # some 15 s of CPU
def test_more_than_half_of_two_hundred_are_rolled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of 120 goes, and another comes, all within ten minutes. Red where each change makes all
    of them look, or each connection choose; and where a message is lost, or told twice.

    Says what it has counted, which ``pytest -s`` shows: docs/concepts/scale.md
    """
    picks = 0
    pick = HashRing.pick

    def counted(
        ring: HashRing, connection: ConnectionId, workers: Collection[WorkerId]
    ) -> WorkerId | None:
        nonlocal picks
        picks += 1
        return pick(ring, connection, workers)

    monkeypatch.setattr(HashRing, "pick", counted)

    async def rolling() -> None:
        loop = asyncio.get_running_loop()
        fleet = Fleet()
        await fleet.stand(200)
        clients = [Client(worker) for worker in fleet.workers for _ in range(2)]
        talking = loop.create_task(talk(fleet, clients))
        await asyncio.sleep(PAUSE_S)
        fleet.redis.asked.clear()
        begin = loop.time()
        for turn, worker in enumerate(fleet.workers[:120], start=1):
            fleet.arrive()
            clients += [Client(fleet.workers[-1]) for _ in range(2)]
            await fleet.leave(worker)
            await asyncio.sleep(begin + ROLLED_EACH_S * turn - loop.time())
        took_s, asked = loop.time() - begin, dict(fleet.redis.asked)
        talking.cancel()
        await asyncio.sleep(5.0)

        said = sum(client.said for client in clients)
        # What a renewal and a PUBLISH cost Redis: docs/concepts/scale.md
        renewals_s, publishes_s = asked["look"] * 480e-6, asked["publish"] * 12e-6
        print(
            f"{took_s:.0f} s: {said} messages, {picks} picks, {asked['look']} looks, "
            f"{asked['publish']} PUBLISHes; Redis {100 * renewals_s / took_s:.1f} % of a core and "
            f"{100 * publishes_s / took_s:.1f} %, {len(fleet.deaths)} declared dead"
        )
        assert fleet.agreed
        assert not fleet.deaths
        assert not any(worker.buried for worker in fleet.workers)
        assert took_s >= 600
        assert said > 400 * took_s / PAUSE_S / 2
        for client in clients:  # each once, in order; nothing is declared
            assert client.answered_numbers == list(range(1, 1 + client.said))
        assert picks <= said
        assert not sum(client.strays for client in clients)
        assert (renewals_s + publishes_s) / took_s < 0.05
        assert asked["look"] <= 1.02 * 200 * took_s / RENEWAL_S
        await fleet.stop()

    run(rolling())


async def talk(fleet: Fleet, clients: list[Client]) -> None:
    """Each client of a worker that stays says something each ``PAUSE_S``."""
    while True:
        for client in list(clients):
            await asyncio.sleep(PAUSE_S / len(clients))
            if not client.edge.members.known[client.edge.me].leaving:
                client.say()
