"""What is held while a history is read is bounded, in number and in bytes."""

from __future__ import annotations

import pytest

from gateway.protocol.held_publications import MAX_HELD_BYTES, HeldPublications
from gateway.protocol.recovery import MAX_RECOVERED, Publication


def offsets(held: HeldPublications) -> list[int]:
    return [publication.offset for publication in held]


@pytest.mark.parametrize(
    ("most", "size"), [(MAX_RECOVERED, 10), (4, MAX_HELD_BYTES // 4)], ids=["number", "bytes"]
)
def test_past_the_bound_the_oldest_are_let_go(most: int, size: int) -> None:
    held = HeldPublications()
    for offset in range(1, most + 1):
        held.append(Publication(offset, bytes(size)))
    assert offsets(held) == list(range(1, most + 1))

    held.append(Publication(most + 1, bytes(size)))
    assert offsets(held) == list(range(2, most + 2))


def test_what_was_cleared_counts_no_more() -> None:
    held = HeldPublications()
    held.append(Publication(1, bytes(MAX_HELD_BYTES)))
    held.clear()
    for offset in (2, 3):
        held.append(Publication(offset, bytes(MAX_HELD_BYTES // 2)))

    assert offsets(held) == [2, 3]
