"""What may be published, and what of it is kept."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.channels.publisher import MAX_KEY_BYTES, MAX_TOGETHER, MAX_TOGETHER_BYTES
from gateway.errors import BadChannel, NotAvailable, PublicationTooLarge, UnknownChannel
from gateway.protocol.channel_messages import (
    MAX_PUBLICATION_BYTES,
    ClientInfo,
    PublicationBody,
    read_publication,
)
from tests.unit.channels.recording import stand

LARGEST = b'"%b"' % (b"x" * (MAX_PUBLICATION_BYTES - 2))


async def test_the_body_is_what_was_given_and_the_namespace_says_what_is_kept() -> None:
    async with stand() as s:
        info = ClientInfo("ann", "c1", b"{}")
        s.publisher.publish("kept:a", b"1", info=info, tags={"k": "v"}, idempotency_key="key")
        s.publisher.publish("kept:a", b"2", skip_history=True)
        s.publisher.publish("news", b"3")
        first, second, third = s.broker.published

        assert read_publication(first.body) == PublicationBody(b"1", info, {"k": "v"})
        assert first.idempotency_key == "key"
        assert first.history is not None
        assert tuple(first.history) == (100, 300, 720 * 3600)
        assert second.history is third.history is None


async def test_data_and_tags_together_are_bounded() -> None:
    async with stand() as s:
        s.publisher.publish("news", LARGEST)
        for data, tags in ((LARGEST + b" ", None), (LARGEST, {"": "x"}), (LARGEST, {"x": ""})):
            with pytest.raises(PublicationTooLarge):
                s.publisher.publish("news", data, tags=tags)

        assert len(s.broker.published) == 1


async def test_keys_and_versions_are_bounded() -> None:
    async with stand() as s:
        s.publisher.publish("kept:a", b"1", idempotency_key="k" * MAX_KEY_BYTES, version=1)
        for wrong in (
            {"idempotency_key": "k" * (MAX_KEY_BYTES + 1)},
            {"version_epoch": "é" * 128},
            {"version": -1},
            {"version": 1 << 53},
            {"version": 1, "skip_history": True},
        ):
            with pytest.raises(ValueError, match=r"version|idempotency_key"):
                s.publisher.publish("kept:a", b"1", **wrong)

        assert len(s.broker.published) == 1


async def test_names_are_checked() -> None:
    async with stand() as s:
        with pytest.raises(BadChannel):
            s.publisher.publish("", b"1")
        with pytest.raises(UnknownChannel):
            s.publisher.publish("nothing:a", b"1")
        with pytest.raises(NotAvailable):
            await s.publisher.page("news", limit=1)
        with pytest.raises(NotAvailable):
            await s.publisher.remove_history("news")
        with pytest.raises(ValueError, match="limit=-1"):
            await s.publisher.page("kept:a", limit=-1)


@pytest.mark.parametrize("wrong", [None, 5, b"news", ["news"]], ids=repr)
async def test_a_broadcast_to_what_is_no_text_publishes_nothing(wrong: Any) -> None:
    """Red when each is looked at in its turn: those before it were published, and nobody knew."""
    async with stand() as s:
        with pytest.raises(TypeError, match=f"a channel is {type(wrong).__name__}, not str"):
            s.publisher.broadcast(["news", wrong], b"1")

        assert s.broker.published == []


async def test_a_broadcast_is_one_publication_for_each_channel_in_order() -> None:
    async with stand() as s:
        names = ["kept:a", "", "news", "nothing:a", "kept:a"]
        answers = s.publisher.broadcast(names, b"1", tags={"k": "v"}, idempotency_key="key")

        assert [each.channel for each in s.broker.published] == ["kept:a", "news", "kept:a"]
        for each in s.broker.published:
            assert read_publication(each.body) == PublicationBody(b"1", None, {"k": "v"})
            assert (each.idempotency_key, each.history is None) == ("key", each.channel == "news")
        failed = {n: type(a.exception()) for n, a in enumerate(answers) if a.exception()}
        assert failed == {1: BadChannel, 3: UnknownChannel}


async def test_a_version_fails_only_where_nothing_is_kept() -> None:
    async with stand() as s:
        kept, news = s.publisher.broadcast(["kept:a", "news"], b"1", version=1)

        assert kept.exception() is None
        assert "needs history" in str(news.exception())
        with pytest.raises(ValueError, match="needs history"):
            await s.publisher.broadcast(["kept:a"], b"1", version=1, skip_history=True)[0]


@pytest.mark.parametrize(
    ("most", "more", "data"),
    [
        pytest.param(MAX_TOGETHER, 1, b"1", id="channels"),
        pytest.param(MAX_TOGETHER_BYTES >> 15, 1, b'"%b"' % (b"x" * ((1 << 15) - 2)), id="bytes"),
    ],
)
async def test_a_broadcast_is_bounded(most: int, more: int, data: bytes) -> None:
    async with stand() as s:
        s.publisher.broadcast([f"c{n}" for n in range(most)], data)
        assert len(s.broker.published) == most
        with pytest.raises(ValueError, match="over the limit"):
            s.publisher.broadcast([f"c{n}" for n in range(most + more)], data)

        assert len(s.broker.published) == most


WRONG: list[dict[str, Any]] = [
    {"data": LARGEST + b" "},
    {"idempotency_key": "k" * (MAX_KEY_BYTES + 1)},
    {"version": -1},
    {"tags": {"a": "\ud800"}},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
async def test_what_is_wrong_for_every_channel_is_raised(wrong: dict[str, Any]) -> None:
    """Before anything fails by itself, which nobody would look at then."""
    lost: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context))
    async with stand() as s:
        with pytest.raises((PublicationTooLarge, ValueError)):
            s.publisher.broadcast(["", "kept:a"], **{"data": b"1", **wrong})

        assert (s.broker.published, lost) == ([], [])
