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


def test_keys_that_one_script_touches_share_a_slot_of_a_cluster() -> None:
    tags = {
        re.findall(r"\{(.*?)\}", key)[0]
        for key in (
            keys.workers("p"),
            keys.info("p"),
            keys.dead("p"),
            keys.born("p"),
            keys.server("p"),
            keys.left("p"),
        )
    }

    assert tags == {"workers"}


@pytest.mark.parametrize("channel", ["c", "a}b", "{", "}"])
def test_keys_of_one_channel_share_a_slot_of_a_cluster(channel: str) -> None:
    built = (keys.history("p", channel), keys.history_meta("p", channel),
             keys.history_answer("p", channel, "k"))  # fmt: skip

    assert len({re.findall(r"\{(.*?)\}", key)[0] for key in built}) == 1


@given(st.text("ab{}:", min_size=1, max_size=6))
def test_no_key_of_a_channel_is_one_of_another(channel: str) -> None:
    """Whoever calls a channel like the end of a key."""
    ends = ["", "}", "}:meta", "}:answer:" + ANSWER.rpartition(":")[2]]
    built = {
        key
        for name in [channel + end for end in ends]
        for key in (
            keys.history("p", name),
            keys.history_meta("p", name),
            keys.history_answer("p", name, "k"),
        )
    }

    assert len(built) == 3 * len(ends)


def test_no_connection_has_the_name_of_the_revision_field() -> None:
    assert owner_of(keys.REVISION) is None
