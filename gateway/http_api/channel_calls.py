"""The connection API's calls about channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from starlette.responses import Response

from gateway.channels.presence_questions import PresenceQuestions
from gateway.channels.publisher import MAX_PAGE, MAX_VERSION, Publisher
from gateway.errors import PresenceLimit, UnrecoverablePosition
from gateway.http_api.answers import Json, Problem, answer
from gateway.http_api.call import (
    Call,
    checking,
    key_of,
    limit_of,
    naming_channel,
    number_of,
    right,
    switch_of,
)
from gateway.http_api.json_bodies import members_of, read
from gateway.http_api.publishing import published, publishing
from gateway.messaging.channel_survey import ChannelSurvey
from gateway.protocol.centrifuge.replies import NotJson, storable
from gateway.protocol.channel_messages import ClientInfo, read_publication
from gateway.protocol.channel_position import Position
from gateway.protocol.recovery import Publication

DEFAULT_HISTORY: Final = 50

_read_tags: Final = msgspec.json.Decoder(dict[str, str])


class ChannelCalls:
    """Every call about channels. Each answers, or raises ``Problem``."""

    def __init__(
        self, publisher: Publisher, presence: PresenceQuestions, survey: ChannelSurvey
    ) -> None:
        self._publisher = publisher
        self._presence = presence
        self._survey = survey

    async def publish(self, call: Call) -> Response:
        version = number_of(call, "version", 0, low=0, high=MAX_VERSION)
        kept = switch_of(call, "history", "true")
        data, tags, key = _data(call), _tags(call), key_of(call)
        with publishing():
            stored = await self._publisher.publish(
                call.target,
                data,
                tags=tags,
                idempotency_key=key or "",
                version=version,
                skip_history=not kept,
            )
        return answer(published(stored))

    async def history(self, call: Call) -> Response:
        limit = number_of(call, "limit", DEFAULT_HISTORY, low=0, high=MAX_PAGE)
        reverse, since = switch_of(call, "reverse", "false"), _since(call)
        try:
            with checking(), naming_channel():
                page = await self._publisher.page(
                    call.target, limit=limit, since=since, reverse=reverse
                )
        except UnrecoverablePosition:
            message = f"since_epoch={call.query['since_epoch']} is over: read without it"
            raise Problem(409, message) from None
        return answer({
            "publications": [_publication(kept) for kept in page.publications],
            "offset": page.top.offset,
            "epoch": page.top.epoch,
        })  # fmt: skip

    async def remove_history(self, call: Call) -> Response:
        with checking(), naming_channel():
            await self._publisher.remove_history(call.target)
        return Response(status_code=204)

    async def presence(self, call: Call) -> Response:
        try:
            with checking(), naming_channel():
                members = await self._presence.members(call.target)
        except PresenceLimit as error:
            raise Problem(409, str(error)) from None
        return answer({"members": [_member(info) for _, info in sorted(members.items())]})

    async def presence_stats(self, call: Call) -> Response:
        with checking(), naming_channel():
            stats = await self._presence.stats(call.target)
        return answer({"clients": stats.clients, "users": stats.users})

    async def channels(self, call: Call) -> Response:
        limit, query = limit_of(call), call.query
        with checking(), right():
            page = await self._survey.page(
                pattern=query.get("pattern", "*"), after=query.get("cursor", ""), limit=limit
            )
        body: Json = {
            "channels": [
                {"channel": name, "subscribers": count} for name, count in page.channels.items()
            ],
            "unanswered": page.unanswered,
        }
        return answer(body | ({"cursor": page.after} if page.after else {}))


def _data(call: Call) -> bytes:
    try:
        return bytes(storable(call.body))
    except NotJson as error:
        message = f"the body is no JSON value: {error}; a text is JSON in quotation marks"
        raise Problem(400, message) from None


def _tags(call: Call) -> Mapping[str, str]:
    said = call.query.get("tags", "{}")
    try:
        members_of(said)
        return read(_read_tags, said)
    except Problem as problem:
        raise Problem(400, f"tags is no JSON object of strings: {problem}") from None


def _since(call: Call) -> Position | None:
    """After which place, or in reverse before it."""
    if "since_offset" not in call.query:
        if "since_epoch" in call.query:
            raise Problem(400, "since_epoch needs since_offset")
        return None
    offset = number_of(call, "since_offset", 0, low=0, high=MAX_VERSION)
    return Position(call.query.get("since_epoch", ""), offset)


def _publication(kept: Publication) -> Json:
    body = read_publication(kept.payload)
    told: Json = {"offset": kept.offset, "data": msgspec.Raw(body.data), "tags": body.tags}
    if body.info is not None:
        told["client"] = body.info.client
        told |= {"user": body.info.user} if body.info.user else {}
    return told


def _member(info: ClientInfo) -> Json:
    member: Json = {"client": info.client}
    if info.user:
        member["user"] = info.user
    for name, said in (("connectionInfo", info.conn_info), ("channelInfo", info.chan_info)):
        if said:
            member[name] = msgspec.Raw(said)
    return member
