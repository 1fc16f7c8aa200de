"""What applications are told of publications: what became of one, and what a channel keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.channel_broker.base import Page, Stored
from gateway.protocol.channel_messages import PublicationBody, read_publication
from gateway.protocol.json_values import value_of
from gateway.protocol.recovery import Publication as Kept


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a publication.

    Attributes:
        offset: Its place in the channel's history; 0 where it is not kept.
        epoch: In which stream; empty where it is not kept.
        suppressed: Nothing was published: its key or its version had come before. The place is then
            that of the first time.
    """

    offset: int
    epoch: str
    suppressed: bool = False


@dataclass(frozen=True, slots=True)
class Publication:
    """One publication of a channel's history.

    Attributes:
        data: The JSON value.
        offset: Its place.
        tags: As they were given.
        user: Whose client has published it; None if it was no client, or if nobody knows who.
        client: The connection that has published it; None if it was none.
    """

    data: Any
    offset: int
    tags: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    client: str | None = None


@dataclass(frozen=True, slots=True)
class History:
    """A part of a channel's history.

    Attributes:
        publications: In the order that was asked for.
        offset: The newest place that there is, whether it is among them or not.
        epoch: Of the stream. With another one, no offset means what it meant.
    """

    publications: list[Publication]
    offset: int
    epoch: str


def published(stored: Stored) -> Published:
    epoch, offset = stored.position or ("", 0)
    return Published(offset, epoch, stored.suppressed)


def history_of(page: Page) -> History:
    return History([_of(kept) for kept in page.publications], page.top.offset, page.top.epoch)


def _of(kept: Kept) -> Publication:
    body: PublicationBody = read_publication(kept.payload)
    info = body.info
    return Publication(
        value_of(body.data),
        kept.offset,
        body.tags,
        (info.user or None) if info else None,
        info.client if info else None,
    )
