"""What a worker's channels know, in the words of the protocol. Pure."""

from __future__ import annotations

from typing import Final

import msgspec

from gateway.channel_broker.base import Page
from gateway.channels.fan_out import FanOut
from gateway.channels.subscriber import Encoding
from gateway.errors import GatewayError
from gateway.protocol.centrifuge import codes
from gateway.protocol.centrifuge.codes import Error
from gateway.protocol.centrifuge.commands import NO_DATA, Subscribe
from gateway.protocol.centrifuge.replies import (
    ClientInfo,
    HistoryResult,
    Publication,
    SubscribeResult,
    join_push,
    leave_push,
    publication_push,
)
from gateway.protocol.channel_messages import ClientInfo as Member
from gateway.protocol.channel_messages import MessageKind, PublicationBody, read_publication
from gateway.protocol.channel_position import Position
from gateway.protocol.channel_steps import Reply, Wish
from gateway.protocol.recovery import Publication as Stored
from gateway.settings.namespaces import ChannelOptions

_ERRORS: Final = {error.code: error for error in codes.EVERY_ERROR}


def as_error(error: GatewayError) -> Error:
    """What a client is answered. What it cannot help is an internal error, to be tried again."""
    return _ERRORS.get(getattr(error, "error_code", 0), codes.INTERNAL)


def as_info(member: Member) -> ClientInfo:
    conn_info, chan_info = member.conn_info, member.chan_info
    return ClientInfo(
        member.user,
        member.client,
        msgspec.Raw(conn_info) if conn_info else NO_DATA,  # as ``as_raw``: for every publication
        msgspec.Raw(chan_info) if chan_info else NO_DATA,
    )


def as_raw(payload: bytes) -> msgspec.Raw:
    """Only ``NO_DATA`` itself is left out of a message."""
    return msgspec.Raw(payload) if payload else NO_DATA


def as_publication(offset: int, body: PublicationBody) -> Publication:
    info = None if body.info is None else as_info(body.info)
    return Publication(msgspec.Raw(body.data), info, offset, body.tags)


def history_result(page: Page) -> HistoryResult:
    publications = [_stored(publication) for publication in page.publications]
    return HistoryResult(publications, page.top.epoch, page.top.offset)


def _stored(publication: Stored) -> Publication:
    return as_publication(publication.offset, read_publication(publication.payload))


# Subscribing


def wish_of(request: Subscribe, options: ChannelOptions) -> Wish:
    """How a client may subscribe, of what it asks for and what its namespace says."""
    if not options.has_history:
        return Wish()
    recoverable = may_recover(request, options)
    positioned = options.force_positioning or (options.allow_positioning and request.positioned)
    since = Position(request.epoch, request.offset) if recoverable and request.recover else None
    return Wish(positioned=positioned or recoverable, since=since)


def may_recover(request: Subscribe, options: ChannelOptions) -> bool:
    """Whether it may recover; a client that does so once could ask for it before."""
    asks = request.recoverable or request.recover
    return options.has_history and (options.force_recovery or (options.allow_recovery and asks))


def subscribe_result(
    request: Subscribe, options: ChannelOptions, reply: Reply, data: msgspec.Raw = NO_DATA
) -> SubscribeResult:
    """With what was missed; then the offset is the one the client gave, and they advance it.

    Raises:
        msgspec.DecodeError: What was missed cannot be read.
    """
    position = reply.position
    if position is None:
        return SubscribeResult(data=data)
    recovered = bool(reply.recovered)
    return SubscribeResult(
        recoverable=may_recover(request, options),
        epoch=position.epoch,
        publications=[_stored(publication) for publication in reply.publications],
        recovered=recovered,
        offset=request.offset if recovered else position.offset,
        positioned=True,
        data=data,
        was_recovering=reply.recovered is not None,
    )


# Pushes


def _publication(channel: str, offset: int, body: PublicationBody) -> bytes:
    return publication_push(channel, as_publication(offset, body))


def _member(channel: str, kind: MessageKind, member: Member) -> bytes:
    push = join_push if kind is MessageKind.JOIN else leave_push
    return push(channel, as_info(member))


def register_encoding(fan_out: FanOut) -> None:
    """Say how clients of the Centrifuge protocol are told of a channel, before any subscribes."""
    fan_out.register(Encoding.CENTRIFUGE_JSON, _publication, _member)
