"""A client that is not connected: how long it takes to say why."""

from __future__ import annotations

import asyncio
import threading

import pytest

import gateway
from gateway.backend_client import client
from gateway.errors import BrokerUnavailable
from tests.support.ports import free_port


async def test_why_it_is_not_connected_is_asked_for_no_longer_than_is_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Red where each silent master of a Cluster, or a name server, is waited for: from five of them
    on code that blocks was told of a timeout, and not of Redis.
    """
    asked, over = threading.Event(), threading.Event()

    def slowly(*_: object, **__: object) -> str:
        asked.set()
        over.wait(10)
        return "why, too late"

    monkeypatch.setattr(client, "why_not", slowly)
    monkeypatch.setattr(client, "CONNECT_S", 0.05)
    monkeypatch.setattr(client, "WHY_S", 0.05)
    try:
        with pytest.raises(BrokerUnavailable, match=r"does not answer within 0\.05 s"):
            async with gateway.client(f"redis://127.0.0.1:{free_port()}/0"):
                pass
        assert asked.is_set()
    finally:
        over.set()


def test_what_still_asks_why_holds_no_loop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when it is left in a thread of the loop's executor: for that ``asyncio.run`` waits, and
    the end of the process too, for as long as a name server takes.
    """
    asked, over, ended = threading.Event(), threading.Event(), threading.Event()

    def slowly(*_: object, **__: object) -> None:
        asked.set()
        over.wait(10)
        ended.set()

    async def connect() -> None:
        async with gateway.client(f"redis://127.0.0.1:{free_port()}/0"):
            pass

    monkeypatch.setattr(client, "why_not", slowly)
    monkeypatch.setattr(client, "CONNECT_S", 0.05)
    monkeypatch.setattr(client, "WHY_S", 0.05)
    try:
        with pytest.raises(BrokerUnavailable, match=r"does not answer within 0\.05 s"):
            asyncio.run(connect())
        assert asked.is_set()
        assert not ended.is_set()
    finally:
        over.set()
