"""Who has collected something is flushed, whatever comes of others."""

from __future__ import annotations

import asyncio

import pytest

from gateway.messaging.hub import Hub
from tests.support.logs import capture_logs


class Collecting:
    def __init__(self, flushed: list[Collecting], *, fails: bool = False) -> None:
        self._flushed = flushed
        self._fails = fails

    def flush(self, *, at_once: bool = False) -> bool:
        if self._fails:
            raise RuntimeError("of one socket")
        self._flushed.append(self)
        return True

    def leave_groups(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("gathered", [False, True])
async def test_one_that_fails_keeps_nobody_from_being_flushed(gathered: bool) -> None:
    """Red when its error goes on: those behind it are not flushed again, for they have said that
    they have collected something.
    """
    hub, flushed = Hub(), list[Collecting]()
    first, last = Collecting(flushed), Collecting(flushed)
    with capture_logs() as logs:
        if gathered:
            hub.gather()
        for local in (first, Collecting(flushed, fails=True), last):
            hub.flush_later(local)
        if gathered:
            hub.flush_gathered()
        await asyncio.sleep(0)

    assert flushed == [first, last]
    assert hub.unflushed == []
    assert [line["event"] for line in logs] == ["flush failed"]
