"""What may be published, and what of it is kept."""

from __future__ import annotations

import pytest

from gateway.channels.publisher import MAX_KEY_BYTES
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
