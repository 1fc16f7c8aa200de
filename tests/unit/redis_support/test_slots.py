"""Slots: whose a key is, and what nodes say of who has which."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.redis_support.slots import (
    Sight,
    is_redirect,
    newest,
    read_redirect,
    read_sight,
    slot_of,
)

ASKED = ("asked", 7000)
INFO = b"cluster_state:ok\r\ncluster_current_epoch:7\r\n"


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        ("123456789", 12739),  # the specification's own
        ("foo", 12182),
        (b"foo", 12182),
        ("a{foo}b", 12182),
        ("{foo}{bar}", 12182),
        ("{}foo", 9500),
        ("{foo", 13308),
    ],
)
def test_a_key_has_the_slot_of_its_tag(key: str | bytes, slot: int) -> None:
    """As CLUSTER KEYSLOT says."""
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("MOVED 3999 127.0.0.1:6381", (3999, ("127.0.0.1", 6381))),
        ("ASK 1 node.example:1", (1, ("node.example", 1))),
        ("MOVED 1 [::1]:6381", (1, ("::1", 6381))),
        ("MOVED 1 :6381", (1, ("asked", 6381))),
        ("ASK 1 ?:6381", (1, ("asked", 6381))),
        ("MOVED 16384 a:1", None),
        ("MOVED 1 a:0", None),
        ("MOVED x a:1", None),
        ("TRYAGAIN later", None),
    ],
)
def test_a_redirection_says_where_to(words: str, told: object) -> None:
    assert read_redirect(words, ASKED) == told


def test_what_was_not_carried_out_is_told_by_its_code() -> None:
    assert is_redirect("CLUSTERDOWN The cluster is down")
    assert not is_redirect("ERR MOVED")


def test_a_sight_has_the_masters_and_all_nodes() -> None:
    sight = read_sight(
        INFO,
        [[0, 8191, [b"a", 1, b"i"], [b"b", 2, b"j"]], [8193, 16383, [None, 3, b"k"]]],
        ASKED,
    )

    assert (sight.owners[0], sight.owners[8191]) == (("a", 1), ("a", 1))
    assert sight.owners[8192] is None
    assert sight.owners[16383] == ("asked", 3)
    assert sight.nodes == {("a", 1), ("b", 2), ("asked", 3)}
    assert sight.ids == {b"i", b"j", b"k"}
    assert (sight.epoch, sight.well) == (7, True)


@pytest.mark.parametrize("port", [0, -5, 65_536, 70_000, 1 << 62])
def test_a_master_at_a_port_that_there_cannot_be_is_none(port: int) -> None:
    """Red when it is one: uvloop connects to the rest of a division by 65536."""
    sight = read_sight(
        INFO,
        [[0, 8191, [b"a", port], [b"b", 2]], [8192, 16383, [b"c", 65_535], [b"d", port]]],
        ASKED,
    )

    assert sight.owners[0] is None
    assert sight.owners[16383] == ("c", 65_535)
    assert sight.nodes == {("b", 2), ("c", 65_535)}


@pytest.mark.parametrize(
    ("info", "slots"),
    [
        (b"", []), (None, []), (INFO, None), (INFO, [[0, 16384, [b"a", 1]]]), (INFO, [[0, 1]]),
        (INFO, [["x", 1, [b"a", 1]]]), (INFO, [[0, 1, [b"\xff", 1]]]), (INFO, [[5, 1, [b"a", 1]]]),
    ],
)  # fmt: skip
def test_what_is_no_sight_is_refused(info: Any, slots: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_sight(info, slots, ASKED)


def test_the_newest_of_those_that_see_a_majority_is_believed() -> None:
    def sight(epoch: int, *, well: bool) -> Sight:
        return Sight((), frozenset(), epoch, well)

    cut_off, old, new = sight(9, well=False), sight(7, well=True), sight(8, well=True)

    assert newest([cut_off, old, new]) is new
    assert newest([cut_off]) is cut_off
