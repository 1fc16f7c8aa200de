"""Keys and channels: where they are written down, they are written the same."""

from __future__ import annotations

import re

from gateway.protocol.ids import WorkerId, owner_of
from gateway.redis_support import keys

W = WorkerId("w" * 16)

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
    keys.inbox("p", W),
    keys.everyone("p"),
}


def test_every_key_is_in_the_table_with_its_type_and_life() -> None:
    rows = re.findall(r"^\| ``(<p>:.+?)`` \|", keys.__doc__ or "", re.MULTILINE)

    assert {row.replace("<p>", "p").replace("<worker>", W) for row in rows} == BUILT


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


def test_no_connection_has_the_name_of_the_revision_field() -> None:
    assert owner_of(keys.REVISION) is None
