"""Keys and channels: where they are written down, they are written the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.ids import WorkerId, owner_of
from gateway.redis_support import keys

W = WorkerId("w" * 16)
ANSWER = keys.history_answer("p", "c", "k")

BUILT = {
    keys.workers("p"),
    keys.info("p"),
    keys.dead("p"),
    keys.born("p"),
    keys.server("p"),
    keys.left("p"),
    keys.departed("p"),
    keys.connections("p", W),
    keys.users("p", W),
    keys.sweep("p", W),
    keys.deaths("p", W),
    keys.presence("p", "c", W),
    keys.presence_workers("p", "c"),
    keys.presence_users("p", "c"),
    keys.subscribed("p", W),
    keys.inbox("p", W),
    keys.everyone("p"),
    keys.history("p", "c"),
    keys.history_meta("p", "c"),
    ANSWER,
    keys.channel_messages("p", "c"),
    keys.namespaces("p"),
}


def test_every_key_is_in_the_table_with_its_type_and_life() -> None:
    rows = re.findall(r"^\| ``(<p>:.+?)`` \|", keys.__doc__ or "", re.MULTILINE)

    known = {"<p>": "p", "<worker>": W, "<channel>": "c", "<hash>": ANSWER.rpartition(":")[2]}
    listed = {re.sub("<[a-z]+>", lambda found: known[found[0]], row) for row in rows}
    assert listed == BUILT


def test_all_keys_are_of_workers_or_of_a_channel() -> None:
    """Scripts touch those of one of the two at a time, and a Cluster wants them in one slot."""
    stored = BUILT - {keys.inbox("p", W), keys.everyone("p")}

    assert {re.findall(r"\{(.*?)\}", key)[0] for key in stored} == {"workers", "chan:c"}


def keys_of(channel: str) -> list[str]:
    return [
        keys.channel_messages("p", channel),
        keys.history("p", channel),
        keys.history_meta("p", channel),
        keys.history_answer("p", channel, "k"),
        keys.presence("p", channel, W),
        keys.presence_workers("p", channel),
        keys.presence_users("p", channel),
    ]


@pytest.mark.parametrize("channel", ["c", "a}b", "{", "}"])
def test_keys_of_one_channel_share_a_slot_of_a_cluster(channel: str) -> None:
    built = keys_of(channel)

    assert len({re.findall(r"\{(.*?)\}", key)[0] for key in built}) == 1
    assert re.findall(r"\{(.*?)\}", built[0])[0]  # Redis takes an empty one for none


@given(st.text("ab{}:", min_size=1, max_size=6))
def test_no_key_of_a_channel_is_one_of_another(channel: str) -> None:
    """Whoever calls a channel like the end of a key."""
    ends = ["", *(key.partition("chan:c")[2] for key in keys_of("c"))]
    built = {key for name in {channel + end for end in ends} for key in keys_of(name)}

    assert len(built) == 7 * len(set(ends))


def test_no_connection_has_the_name_of_the_revision_field() -> None:
    assert owner_of(keys.REVISION) is None
