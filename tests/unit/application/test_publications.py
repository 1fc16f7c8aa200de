"""What applications are told of publications."""

from __future__ import annotations

import pytest

from gateway import History, Publication, Published
from gateway.application.publications import history_of, published
from gateway.channel_broker.base import Page, Stored
from gateway.protocol.channel_messages import ClientInfo, PublicationBody, encode
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import Publication as Kept


@pytest.mark.parametrize(
    ("stored", "told"),
    [
        (Stored(None), Published(0, "")),
        (Stored(Position("e", 7)), Published(7, "e")),
        (Stored(Position("e", 7), suppressed=True), Published(7, "e", suppressed=True)),
    ],
)
def test_what_became_of_one_is_its_place_if_it_has_one(stored: Stored, told: Published) -> None:
    assert published(stored) == told


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (PublicationBody(b'{"a":[1]}'), Publication({"a": [1]}, 3)),
        (PublicationBody(b'"x"', None, {"k": "v"}), Publication("x", 3, {"k": "v"})),
        (PublicationBody(b"1", ClientInfo("ann", "c")), Publication(1, 3, {}, "ann", "c")),
        (PublicationBody(b"1", ClientInfo("", "c")), Publication(1, 3, {}, None, "c")),
    ],
)
def test_who_has_published_is_told_as_far_as_it_is_known(
    body: PublicationBody, told: Publication
) -> None:
    page = Page(Position("e", 9), [Kept(3, encode(body))])

    assert history_of(page) == History([told], 9, "e")
