"""How much one worker is given, at exactly the bounds."""

from __future__ import annotations

from gateway.protocol.load import EVENT_BYTES, MAX_BYTES, SMALL_BYTES, Load

QUARTER = MAX_BYTES // 4


def loaded(to_bytes: int) -> Load:
    load = Load()
    load.bytes_owed = to_bytes
    return load


def test_who_has_little_there_may_use_all_of_it() -> None:
    assert loaded(MAX_BYTES - 1).takes(SMALL_BYTES)
    assert not loaded(MAX_BYTES).takes(SMALL_BYTES)


def test_who_has_much_there_leaves_the_last_quarter_to_others() -> None:
    assert loaded(3 * QUARTER - 1).takes(SMALL_BYTES + 1)
    assert not loaded(3 * QUARTER).takes(SMALL_BYTES + 1)


def test_who_has_much_there_waits_behind_whoever_was_told_to_wait() -> None:
    load = loaded(MAX_BYTES)
    assert not load.takes(0)
    load.refused = True

    load.settle(QUARTER + 1)

    assert not load.takes(SMALL_BYTES + 1)
    assert load.takes(SMALL_BYTES)


def test_those_who_wait_are_called_once_when_half_of_it_is_free() -> None:
    load = loaded(MAX_BYTES)
    assert not load.takes(0)
    load.refused = True

    assert not load.settle(QUARTER)
    assert load.settle(QUARTER)
    assert not load.settle(QUARTER)


def test_nobody_is_called_who_was_not_told_to_wait() -> None:
    assert not loaded(MAX_BYTES).settle(MAX_BYTES - EVENT_BYTES)
