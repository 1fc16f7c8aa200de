"""The ledger of channels finds every broken promise: it is what the fault tier rests on."""

from __future__ import annotations

import pytest

from tests.support.channel_ledger import ChannelLedger, Place, Reading

ROOM = "room"


@pytest.fixture
def ledger() -> ChannelLedger:
    """Three publications are stored, and were delivered to its one subscriber."""
    made = ChannelLedger()
    reading = made.reading(ROOM)
    reading.subscribed(("e", 0), recovered=False, now=0.0)
    for offset in (1, 2, 3):
        made.stored(ROOM, ("e", offset), serial=offset)
        reading.took(offset, serial=offset)
    return made


def one(ledger: ChannelLedger) -> Reading:
    [reading] = ledger.readings
    return reading


def test_a_good_day_has_nothing(ledger: ChannelLedger) -> None:
    one(ledger).took(4, serial=4)
    ledger.stored(ROOM, ("e", 4), serial=4)  # its publisher hears later than its subscribers

    assert not ledger.broken
    assert ledger.balance().delivered == ledger.balance().published == 4


@pytest.mark.parametrize("offset", [3, 1])
def test_a_delivery_that_comes_twice_is_found(ledger: ChannelLedger, offset: int) -> None:
    one(ledger).took(offset, serial=offset)

    assert ledger.broken == {"twice or out of order": 1}


@pytest.mark.parametrize("epoch", ["e", "f"])
def test_a_publication_that_is_stored_at_two_places_is_found(
    ledger: ChannelLedger, epoch: str
) -> None:
    """Also where it is the publisher alone that sees both, and in another epoch."""
    ledger.is_serial(ROOM, (epoch, 4), serial=3)

    assert ledger.broken["published twice"] == 1


def test_one_that_is_stored_twice_and_delivered_at_both_places_is_found(
    ledger: ChannelLedger,
) -> None:
    """Its subscriber gets offset after offset: it is known by its number alone."""
    one(ledger).took(4, serial=3)

    assert ledger.broken["published twice"] == 1


def test_the_same_number_in_another_channel_is_another_publication(ledger: ChannelLedger) -> None:
    ledger.stored("other", ("e", 1), serial=1)

    assert not ledger.broken


def test_two_at_one_place_are_found(ledger: ChannelLedger) -> None:
    ledger.is_serial(ROOM, ("e", 3), serial=9)

    assert ledger.broken["two at one place"] == 1


def test_publications_that_changed_places_are_found(ledger: ChannelLedger) -> None:
    ledger.stored(ROOM, ("e", 4), serial=6)
    ledger.stored(ROOM, ("e", 5), serial=5)
    one(ledger).took(4, serial=6)
    one(ledger).took(5, serial=5)

    assert ledger.broken == {"stored out of order": 1}


def test_each_publisher_has_an_order_of_its_own_and_some_have_none(ledger: ChannelLedger) -> None:
    ledger.disordered.add(2)
    for offset, serial in enumerate((1_000_001, 4, 2_000_009, 1_000_002, 2_000_001, 5), 4):
        ledger.stored(ROOM, ("e", offset), serial)
        one(ledger).took(offset, serial)

    assert not ledger.broken


def test_what_is_lost_and_what_is_jumped_over_is_found(ledger: ChannelLedger) -> None:
    ledger.stored(ROOM, ("e", 4), serial=4)
    assert ledger.broken == {"lost": 1}

    one(ledger).took(5, serial=5)

    assert ledger.broken["jumped over"] == 1
    assert ledger.broken["does not add up"] == 1


@pytest.mark.parametrize("to", [("e", 5), ("f", 2)])
def test_what_was_declared_missing_is_not_lost(ledger: ChannelLedger, to: Place) -> None:
    ledger.see(ROOM, ("e", 5))

    one(ledger).subscribed(to, recovered=False, now=1.0)

    assert not ledger.broken
    assert ledger.balance().declared == (2 if to[0] == "e" else 4)


def test_recovery_from_elsewhere_is_found(ledger: ChannelLedger) -> None:
    one(ledger).subscribed(("e", 2), recovered=True, now=1.0)

    assert ledger.broken == {"recovered from elsewhere": 1}
