"""Hundreds of handshakes in one turn of the loop, and what else the loop has to do."""

from __future__ import annotations

import asyncio

from gateway.edge.sockets.handshake_throttle import PER_TURN, HandshakeThrottle


async def test_so_many_a_turn_in_the_order_of_their_coming() -> None:
    throttle, entered = HandshakeThrottle(2), list[int]()
    by_turn = []

    for number in range(5):
        throttle.enter(lambda number=number: entered.append(number))  # type: ignore[misc]
    for _ in range(3):
        by_turn.append(list(entered))
        await asyncio.sleep(0)

    assert by_turn == [[0, 1], [0, 1, 2, 3], [0, 1, 2, 3, 4]]


async def test_what_the_loop_has_to_do_comes_between_them() -> None:
    throttle, done = HandshakeThrottle(), list[str]()
    asyncio.get_running_loop().call_soon(done.append, "a message")

    for _ in range(10 * PER_TURN):
        throttle.enter(lambda: done.append("a handshake"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    assert done.index("a message") == PER_TURN
    assert done.count("a handshake") < 10 * PER_TURN


async def test_nobody_waits_who_comes_alone() -> None:
    throttle, entered = HandshakeThrottle(1), list[int]()

    for number in range(3):
        throttle.enter(lambda number=number: entered.append(number))  # type: ignore[misc]
        assert entered == list(range(number + 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_who_comes_late_does_not_overtake() -> None:
    throttle, entered = HandshakeThrottle(1), list[int]()
    for number in range(3):
        throttle.enter(lambda number=number: entered.append(number))  # type: ignore[misc]
    await asyncio.sleep(0)

    throttle.enter(lambda: entered.append(3))
    for _ in range(5):
        await asyncio.sleep(0)

    assert entered == [0, 1, 2, 3]
