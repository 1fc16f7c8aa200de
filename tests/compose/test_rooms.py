"""Rooms of what plain ``docker compose up`` starts: the page in two windows at two workers.

Beside the windows a hundred clients of the protocol are in the same room, with a ledger by epoch
and offset, while a backend says twenty lines a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.support.backend import Backend, backend
from tests.support.browser import chromium
from tests.support.channel_crowd import ChannelCrowd
from tests.support.compose import ComposeStack, docker
from tests.support.room_page import HeardLine, RoomPage, room_page
from tests.support.waiting import eventually_async

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLIENTS = 100
EVERYBODY = str(CLIENTS + 2)
TRIES = 20  # nginx takes turns, and others connect too
LEASE_ENDED_MS = 20_000
RETURNED_S = 20.0
INSUFFICIENT = 2500


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


@asynccontextmanager
async def two_windows(
    browser: Browser, url: str, channel: str
) -> AsyncIterator[tuple[RoomPage, RoomPage]]:
    """Ann and Bob in one room, at two workers."""
    async with AsyncExitStack() as windows:
        ann, bob = [
            await windows.enter_async_context(room_page(browser, f"{url}/")) for _ in range(2)
        ]
        await ann.go_in("Ann", channel)
        await ann.is_("In the room")
        for _ in range(TRIES):
            await bob.go_in("Bob", channel)
            await bob.is_("In the room")
            if await bob.worker() != await ann.worker():
                break
            await bob.page.get_by_role("button", name="Leave").click()
        assert await bob.worker() != await ann.worker(), "both windows at one worker"
        yield ann, bob


@dataclass
class Scene:
    """Two windows and many clients in one room, and who talks there."""

    ann: RoomPage
    bob: RoomPage
    crowd: ChannelCrowd
    talker: Backend

    async def heard(self, window: RoomPage) -> list[HeardLine]:
        """What a window heard of the backend, in the order in which it did."""
        return [line for line in await window.heard() if line.who == "backend"]

    async def ends(self) -> None:
        """Stop talking; what was said must come to everybody who was not told to have missed it."""
        await self.talker.stop()
        await self.crowd.caught_up()
        last = f"line {self.talker.published}"
        for window in (self.ann, self.bob):
            await window.hears(last)

    async def print_ledger(self, title: str) -> None:
        print(f"\n{title}: {self.talker.published} lines published", end="")
        print(f", {len(self.talker.failures)} attempts failed, all repeated")
        for name, window in (("Ann", self.ann), ("Bob", self.bob)):
            books = tally(await self.heard(window), self.talker.published)
            said = await window.fact("room-recovery").inner_text()
            print(f"  {name}'s window: {books}; it says: {said}")
        print(self.crowd.ledger.table(f"  {CLIENTS} clients by epoch and offset"))


def numbers(lines: list[HeardLine]) -> list[int]:
    return [int(line.text.removeprefix("line ")) for line in lines]


def tally(lines: list[HeardLine], published: int) -> str:
    """A window's ledger, for people."""
    heard = numbers(lines)
    return (
        f"published {published}, delivered {len(heard)}, of them recovered "
        f"{sum(line.recovered for line in lines)}, twice {len(heard) - len(set(heard))}, "
        f"missing {published - len(set(heard))}, in order {heard == sorted(heard)}"
    )


@asynccontextmanager
async def a_scene(
    browser: Browser, stack: ComposeStack, channel: str
) -> AsyncIterator[tuple[Scene, str]]:
    """Everybody is there and has heard something. With it, the container of Bob's worker."""
    async with (
        two_windows(browser, stack.url, channel) as (ann, bob),
        ChannelCrowd([stack.port], CLIENTS, lambda _: [channel], recoverable=True) as crowd,
    ):
        hosts = await asyncio.to_thread(stack.hosts)
        doomed, spared = hosts[await bob.worker()], hosts[await ann.worker()]
        async with backend(spared, channel, crowd.ledger) as talker:
            await talker.goes_on(40)
            yield Scene(ann, bob, crowd, talker), doomed


async def count_becomes(count: str, *windows: RoomPage) -> None:
    """Wait until so many are here, in the eyes of all these windows."""
    for window in windows:
        await expect(window.page.locator("#here-count")).to_have_text(count, timeout=LEASE_ENDED_MS)


async def test_two_windows_at_two_workers_hear_and_see_each_other(
    browser: Browser, stack: ComposeStack
) -> None:
    async with two_windows(browser, stack.url, "room:both") as (ann, bob):
        await ann.says("hello Bob")
        await bob.hears("hello Bob")
        await bob.says("hello Ann")

        for window in (ann, bob):
            await window.hears("hello Ann")
            assert await window.lines() == ["Ann hello Bob", "Bob hello Ann"]
            await window.sees("Ann", "Bob")
        await bob.page.get_by_role("button", name="Leave").click()
        await ann.told("Bob left")
        await ann.sees("Ann")
        assert ann.complaints == bob.complaints == []


async def test_a_killed_worker_costs_nobody_a_line(browser: Browser, stack: ComposeStack) -> None:
    """Everybody at it recovers through the other one.

    Red when ``WorkerChannel`` replies that all is recovered, without what was missed.
    """
    try:
        async with a_scene(browser, stack, "room:killed") as (scene, doomed):
            ann, bob, ledger = scene.ann, scene.bob, scene.crowd.ledger
            await count_becomes(EVERYBODY, ann, bob)
            victim = await bob.worker()
            theirs = sum(c.client.startswith(victim) for c in scene.crowd.clients)

            await asyncio.to_thread(docker, "kill", "--signal", "KILL", doomed)
            await bob.told("its worker or the network went away (1006)")
            await bob.told("nothing was missed")
            await scene.crowd.everybody()
            await scene.talker.goes_on(40)
            await count_becomes(EVERYBODY, ann, bob)
            await scene.ends()
            await scene.print_ledger("A worker killed")

            assert await bob.worker() == await ann.worker() != victim
            every_line = list(range(1, scene.talker.published + 1))
            for window in (ann, bob):
                assert numbers(await scene.heard(window)) == every_line
            assert not any(line.recovered for line in await scene.heard(ann))
            assert any(line.recovered for line in await scene.heard(bob))
            assert not ledger.broken
            assert ledger.closes == {1006: theirs}
            assert ledger.recovered == theirs > 0
            assert not ledger.not_recovered
            assert not ledger.refused
            assert not scene.talker.failures
    finally:
        await asyncio.to_thread(stack.up)


async def test_everybody_is_told_when_redis_has_lost_all_and_goes_on(
    browser: Browser, stack: ComposeStack
) -> None:
    """A new epoch. Red when ``WorkerChannel`` says that what cannot be had is recovered."""
    [redis] = stack.containers("redis")
    try:
        async with a_scene(browser, stack, "room:emptied") as (scene, _):
            ledger = scene.crowd.ledger
            workers = [await window.worker() for window in (scene.ann, scene.bob)]

            await asyncio.to_thread(docker, "kill", "--signal", "KILL", redis)
            await asyncio.to_thread(docker, "start", redis)
            for window in (scene.ann, scene.bob):
                await window.told("some lines were missed")

            async def all_are_told() -> bool:
                return ledger.not_recovered == CLIENTS == scene.crowd.live

            await eventually_async(all_are_told, "the new epoch for everybody", RETURNED_S)
            await scene.talker.goes_on(40)
            await count_becomes(EVERYBODY, scene.ann, scene.bob)
            await scene.ends()
            await scene.print_ledger("Redis killed and empty")

            for window in (scene.ann, scene.bob):
                heard = numbers(await scene.heard(window))
                jumps = [now - before for before, now in pairwise([0, *heard])]
                assert min(jumps) == 1, "twice, or out of order"
                assert sum(jump > 1 for jump in jumps) <= 1, "more than the one gap it was told of"
                assert heard[-1] == scene.talker.published
            assert [await window.worker() for window in (scene.ann, scene.bob)] == workers
            assert not ledger.broken
            assert not ledger.closes
            assert ledger.ends == {INSUFFICIENT: CLIENTS}
            assert ledger.not_recovered == CLIENTS
            assert not ledger.recovered
            assert len(ledger.tops["room:emptied"]) == 2  # epochs
    finally:
        await asyncio.to_thread(stack.up)
