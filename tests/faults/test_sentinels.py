"""The primary that Sentinels watch over is killed, freezes, or goes on without them.

What it had not yet told its replica is lost; nothing else may be. Nobody goes back to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from tests.faults.channel_stand import LONG, SHORT
from tests.faults.channel_stand import serve as serve_channels
from tests.faults.conftest import PUSHES, Report
from tests.faults.test_channels_redis_fails import all_told, assert_kept
from tests.faults.test_redis_fails import all_ready
from tests.support.channel_crowd import ChannelCrowd
from tests.support.channel_publisher import ChannelPublisher
from tests.support.crowd import Crowd
from tests.support.proxy import Proxy
from tests.support.redis_server import RedisServer
from tests.support.sentinels import DOWN_AFTER_S, SentinelGroup
from tests.support.serve import Served
from tests.support.stand import Stand, a_stand
from tests.support.waiting import eventually

CLIENTS = 200
SUBSCRIBERS = 200
FOLLOWED_S = 5.0
PARTED_S = 10.0


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    """Nodes that are nobody's yet."""
    made = SentinelGroup(tmp_path / "sentinels")
    with made.nodes_started():
        yield made


@pytest.fixture
async def stand(group: SentinelGroup, tmp_path: Path) -> AsyncIterator[Stand]:
    async with a_stand(group.nodes[0], tmp_path) as made:
        yield made


async def promoted(group: SentinelGroup, old: RedisServer) -> RedisServer:
    """The next primary, once the Sentinels name it."""

    def other() -> bool:
        now = group.primary()
        return now is not None and now is not old

    await eventually(other, "a promotion", 15)
    primary = group.primary()
    assert primary is not None
    return primary


def our_connections(server: RedisServer) -> list[str]:
    with server.client() as admin:
        return [c["name"] for c in admin.client_list() if c["name"].startswith("gateway.")]


@asynccontextmanager
async def cut_from_its_own(group: SentinelGroup, link: Proxy) -> AsyncIterator[None]:
    """Its replica and the Sentinels do not reach the primary any more. Gateways do."""
    cut_off = {group.nodes[1].pid, *(sentinel.pid for sentinel in group.sentinels)}

    def refused(port: int) -> bool:
        return any(
            found.laddr.port == port
            for pid in cut_off
            for found in psutil.Process(pid).net_connections("tcp")
        )

    link.refuse(refused)
    yield
    link.refuse(None)


@pytest.mark.parametrize("how", ["killed", "frozen", "parted"])
async def test_a_switch_is_followed_and_nothing_is_lost(
    how: str, group: SentinelGroup, stand: Stand, report: Report
) -> None:
    """Every message is answered and no socket closes; all have moved 5 s after the promotion.

    Red without ``Sentinels.watch``: a primary that was parted from the others is spoken to still.
    """
    old = group.nodes[0]
    async with AsyncExitStack() as stack:
        link = await stack.enter_async_context(Proxy(old.port))
        await asyncio.to_thread(group.watch, link.port if how == "parted" else None)
        served = [await stand.serve(redis_url=group.url) for _ in range(2)]
        crowd = await stack.enter_async_context(
            Crowd([s.ws_url for s in served], CLIENTS, per_second=5, pushes_per_second=PUSHES)
        )
        crowd.start_sending()
        await crowd.send_for(2)
        if how == "killed":
            await asyncio.to_thread(old.kill)
        elif how == "frozen":
            old.freeze()
        else:
            parted = cut_from_its_own(group, link)
            await parted.__aenter__()
        new = stand.redis = await promoted(group, old)
        promoted_at = asyncio.get_running_loop().time()
        moved = lambda: len(our_connections(new)) > 2 * len(served)  # noqa: E731
        await eventually(moved, "connections to the new primary", FOLLOWED_S)
        print(f"followed after {asyncio.get_running_loop().time() - promoted_at:.2f} s")
        if how == "parted":
            await crowd.send_for(PARTED_S)
            assert not our_connections(old)
            await parted.__aexit__(None, None, None)
        elif how == "frozen":
            old.thaw()
        else:
            await asyncio.to_thread(old.start)  # and says that it is a primary
        await crowd.send_for(5)
        ledger = await crowd.stop_sending()
        await stand.registry_true(crowd)
        await all_ready(served)

        report(ledger)
        assert not ledger.broken
        assert ledger.answered == ledger.sent
        assert not ledger.closes
        primary = group.primary()  # a machine that stands still may bring about another switch
        spoken_to = {node.port: our_connections(node) for node in group.nodes}
        assert primary is not None
        assert [port for port, names in spoken_to.items() if names] == [primary.port], (
            old.port, new.port, spoken_to,
        )  # fmt: skip
        assert all(s.events("redis primary switched") for s in served)
        if how == "killed":
            await sentinels_go(group, served)


async def sentinels_go(group: SentinelGroup, served: Sequence[Served]) -> None:
    """One of them, most, and then all, whom nobody would miss otherwise before the next switch."""
    group.sentinels[0].kill()
    one = lambda: all(s.metric("gateway_redis_sentinels_away") == 1 for s in served)  # noqa: E731
    await eventually(one, "a Sentinel that is missed", FOLLOWED_S)
    assert not any(s.metric("gateway_redis_unlocated") for s in served)
    assert not any(s.metric("gateway_redis_quorum_lost") for s in served)
    group.sentinels[1].kill()
    lost = lambda: all(s.metric("gateway_redis_quorum_lost") for s in served)  # noqa: E731
    await eventually(lost, "a quorum that is missed", DOWN_AFTER_S + FOLLOWED_S)
    assert all(s.events("sentinels have no quorum") for s in served)
    for sentinel in group.sentinels:
        sentinel.kill()
    nobody = lambda: all(s.metric("gateway_redis_unlocated") for s in served)  # noqa: E731
    await eventually(nobody, "workers whom nobody tells", FOLLOWED_S)
    await all_ready(served)  # nothing that stands has ended


async def test_subscribers_are_told_of_what_a_switch_may_have_lost(
    group: SentinelGroup, stand: Stand, report: Report
) -> None:
    """A replica may lack the newest offsets, so positions of before it count no more."""
    await asyncio.to_thread(group.watch)
    served = [await serve_channels(stand, redis_url=group.url) for _ in range(2)]
    channels = [*LONG, *SHORT]
    async with (
        ChannelCrowd(
            [s.port for s in served], SUBSCRIBERS,
            lambda number: [channels[number % len(channels)]], recoverable=True,
        ) as crowd,
        ChannelPublisher(group.url, LONG | SHORT, crowd.ledger, per_second=20) as publisher,
    ):  # fmt: skip
        publisher.start()
        await asyncio.sleep(2)
        since = crowd.loop.time()
        old = group.nodes[0]
        await asyncio.to_thread(old.kill)
        stand.redis = await promoted(group, old)
        await eventually(lambda: all_told(crowd.clients, since), "declared gaps", FOLLOWED_S)
        await crowd.everybody()
        await asyncio.sleep(2)
        await publisher.stop()
        await crowd.caught_up()

        report(crowd.ledger)
        assert_kept(crowd.ledger, errors={100})
        assert crowd.ledger.not_recovered >= SUBSCRIBERS
